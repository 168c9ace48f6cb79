"""`python3 -m deploy`: set-up, start, stop and state of one installation.

`setup` needs Python's standard library only; the other commands continue in the environment that it made.
"""

import argparse
import dataclasses
import os
import socket
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from deploy.errors import DeployError
from deploy.settings import ROOT, Settings, from_process, saved
from deploy.setup import clients, environments, packages, shim, store, viewer
from deploy.setup.steps import Step, run_all

OLDEST_PYTHON = (3, 11)


def main(arguments: list[str]) -> int:
    """Run one command."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.command == "setup":
            return _setup(tests=parsed.tests)
        _continue_in_own_environment(arguments)
        return _command(parsed)
    except DeployError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    setup = commands.add_parser("setup", help="install and build everything that is missing")
    setup.add_argument("--tests", action="store_true", help="also what the tests need")
    for name, text in (
        ("render", "write the configuration only"),
        ("up", "start and wait until ready"),
        ("wait", "wait until ready"),
        ("down", "stop everything"),
        ("status", "show every program"),
        ("restart", "stop one program or all, and start again"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--var", type=Path, help="folder of everything that the product writes")
        if name in {"up", "wait", "restart"}:
            command.add_argument("--only", default="", help="programs, with commas; none: all")
            command.add_argument("--timeout", type=float, default=180, help="seconds to wait")
        if name == "up":
            command.add_argument(
                "--free-ports", action="store_true", help="choose free ports (a second installation)"
            )
    return parser


def _setup(*, tests: bool) -> int:
    if sys.version_info < OLDEST_PYTHON:
        raise DeployError(
            f"Python {sys.version.split()[0]} is too old", do="run it with Python 3.11 or newer"
        )
    names = ("facade", "worker", *(("dev",) if tests else ()))
    pythons = [Step(f"python {name}", partial(environments.environment, name)) for name in names]
    run_all(
        [[Step("packages", partial(packages.install, tests=tests))]],
        [
            [Step("uv", environments.uv), *pythons],
            [
                Step("orthanc libraries", shim.build),
                Step("hapi", store.build),
                Step("hapi classes", store.archive),
            ],
            [Step("viewer", viewer.build), *([Step("test clients", clients.build)] if tests else [])],
        ],
    )
    return 0


def _continue_in_own_environment(arguments: list[str]) -> None:
    """Become the same command under an environment that has the libraries, unless we are in one already."""
    if Path(sys.prefix).parent == ROOT / ".venv" and Path(sys.prefix).name != "uv":
        return
    python = ROOT / ".venv" / "facade" / "bin" / "python"
    if not python.exists():
        raise DeployError("nothing is set up yet", do="run `python3 -m deploy setup` first")
    os.execv(python, [str(python), "-m", "deploy", *arguments])  # noqa: S606 - our own interpreter


def _command(parsed: argparse.Namespace) -> int:
    from deploy import (
        credentials,
        operate,
        ready,
        render,
    )  # after the environment is known to have their libraries

    only = [name for name in getattr(parsed, "only", "").split(",") if name]
    if parsed.command == "render":
        settings = from_process(parsed.var)
        render.render(settings)
        print(f"configuration in {settings.var}/etc")
    elif parsed.command == "up":
        settings = from_process(parsed.var)
        started = operate.up(
            free_ports(settings) if parsed.free_ports else settings, only, timeout_s=parsed.timeout
        )
        for name, seconds in sorted(started.seconds.items(), key=lambda item: item[1]):
            print(f"up     {name:<18} ready {seconds:6.1f} s")
        print(f"up     {saved(settings.var).base_url}")
    elif parsed.command == "wait":
        settings = saved(_var(parsed.var))
        secrets = credentials.generate(settings.var / "secrets")
        ready.wait(settings, secrets, operate.choose(settings, only), parsed.timeout)
    elif parsed.command == "down":
        print("stopped" if operate.down(_var(parsed.var)) else "nothing ran")
    elif parsed.command == "restart":
        operate.restart(_var(parsed.var), only, timeout_s=parsed.timeout)
    else:
        for row in operate.status(_var(parsed.var)):
            print("{:<18} {:<10} {:<28} {:>9} {:>9}".format(*row))
    return 0


def _var(given: Path | None) -> Path:
    return (given or Path(os.environ.get("DEPLOY_VAR") or ROOT / "var")).absolute()


def free_ports(settings: Settings) -> Settings:
    """The same settings on ports that are free now."""
    names = [name for name in settings.ports if name != "tls_port"]
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        ports = [opened.getsockname()[1] for opened in sockets]
    return dataclasses.replace(settings, **dict(zip(names, ports, strict=True)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
