"""Starts, stops and shows one installation."""

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deploy import credentials, database, programs, ready
from deploy.errors import DeployError, PortBusyError
from deploy.render import render
from deploy.settings import Settings, saved
from deploy.setup.shim import LIBRARY, PLUGIN
from deploy.setup.store import JAR
from deploy.supervise import Supervisor

READY_S = 180


@dataclass(frozen=True)
class Started:
    """What a start answers: the secrets, and the seconds until each program was ready."""

    secrets: Mapping[str, str]
    seconds: Mapping[str, float]
    supervisord: "subprocess.Popen[bytes] | None"
    """The process, if this call launched it."""


def choose(settings: Settings, only: Sequence[str]) -> list[str]:
    """The programs to start; an unknown name is an error."""
    known = programs.table(settings)
    unknown = [name for name in only if name not in known]
    if unknown:
        raise DeployError(f"no such program: {', '.join(unknown)}", do=f"choose from: {', '.join(known)}")
    return list(only) or list(known)


def up(
    settings: Settings,
    only: Sequence[str] = (),
    *,
    ends_with_parent: bool = False,
    timeout_s: float = READY_S,
) -> Started:
    """Render, start and wait until ready. Safe to call again: what runs unchanged is left alone."""
    names = choose(settings, only)
    _built(names)
    supervisor = Supervisor(settings.var)
    settings.var.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _one_at_a_time(settings.var):
        secrets = render(settings)
        if supervisor.is_up():
            names = list(dict.fromkeys([*names, *supervisor.reload()]))
            running = {name for name, state in supervisor.states().items() if state.is_running}
        else:
            running = set()
        _ports_are_free(settings, [name for name in names if name not in running])
        process = None if supervisor.is_up() else supervisor.launch(ends_with_parent=ends_with_parent)
        begin = time.monotonic()
        if "mariadb" in names:
            # Nothing takes as long to start as HAPI: it begins while the tables of the database are made.
            supervisor.start(name for name in names if name == "hapi")
            database.initialise(settings)
        supervisor.start(names)
        if "mariadb" in names:
            ready.wait(settings, secrets, ["mariadb"], timeout_s)
            database.provision(settings)
    seconds = ready.wait(settings, secrets, names, timeout_s)
    if {"nginx", "facade"} <= set(names) and not only:
        _product_is_ready(settings, begin + timeout_s)
    return Started(secrets, seconds, process)


def _product_is_ready(settings: Settings, deadline: float) -> None:
    while reason := ready.product(settings):
        if time.monotonic() > deadline:
            raise DeployError(
                f"{settings.base_url}/health/ready says: {ready.dependencies(reason)}",
                do="read the log of what it names",
                log=settings.var / "log",
            )
        time.sleep(0.1)


def down(var: Path) -> bool:
    """Stop everything; answers whether anything ran."""
    supervisor = Supervisor(var.absolute())
    if not supervisor.is_up():
        return False
    supervisor.shutdown(last=programs.SERVERS)
    return True


def restart(var: Path, only: Sequence[str], *, timeout_s: float) -> None:
    """Stop programs and start them again."""
    settings = saved(var)
    names = choose(settings, only)
    supervisor = Supervisor(settings.var)
    supervisor.stop_together(names)
    supervisor.start(names)
    ready.wait(settings, credentials.generate(settings.var / "secrets"), names, timeout_s)


def status(var: Path) -> list[tuple[str, str, str, str, str]]:
    """Rows of program, state, readiness, uptime and memory."""
    settings = saved(var)
    supervisor = Supervisor(settings.var)
    if not supervisor.is_up():
        raise DeployError(f"nothing runs in {var}", do="start it with `make up`")
    secrets = credentials.generate(settings.var / "secrets")
    rows = []
    for name, state in supervisor.states().items():
        if state.state == "STOPPED":
            rows.append((name, "stopped", "", "", ""))
            continue
        reason = ready.check(settings, secrets, state)
        uptime = f"{time.time() - state.since:.0f} s" if state.is_running else ""
        rows.append((name, state.state.lower(), reason or "ready", uptime, _memory(state.pid)))
    return rows


def _memory(pid: int) -> str:
    """Resident memory of the program's process group; what processes share is counted once for each."""
    pages = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == pid:
                pages += int((entry / "statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended meanwhile.
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.0f} MB" if pages else ""


def _built(names: Sequence[str]) -> None:
    """Name what set-up has not made yet, before a program fails for want of it."""
    needed = {programs.FACADE}
    for name in names:
        if name == "hapi":
            needed.add(str(JAR))
        elif name == "orthanc":
            needed |= {str(LIBRARY), str(PLUGIN)}
        elif name not in {"redis", "mariadb", "nginx", "facade", "audit-shipper"}:
            needed.add(programs.WORKER)
    missing = [path for path in sorted(needed) if not Path(path).exists()]
    if missing:
        raise DeployError(f"not set up yet: {', '.join(missing)}", do="run `python3 -m deploy setup`")


def _ports_are_free(settings: Settings, names: Sequence[str]) -> None:
    for setting, (program, port) in settings.ports.items():
        if program not in names:
            continue
        address = settings.address if program == "nginx" else "127.0.0.1"
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As the servers do: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise PortBusyError(address, port, program, f"DEPLOY_{setting.upper()}") from error


@contextmanager
def _one_at_a_time(var: Path) -> Iterator[None]:
    """Two starts of one installation at once would render over each other."""
    with (var / ".lock").open("w") as lock:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
            return
        raise DeployError(f"another start of {var} is going on", do="wait for it to end")
