"""Makes the Python environments from the lock files, by uv, every file checked against its hash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.setup.steps import ROOT, digest, run, stamped, write_stamp

VENVS = ROOT / ".venv"
UV_VERSION = "0.13.8"
LAUNCHER = """#!{python}
from neuronova.cli import app

app()
"""


def uv() -> str:
    """Find uv, or install it into an environment of its own (Debian's Python refuses pip outside of one)."""
    _uv_command()
    return "already there" if shutil.which("uv") and _works("uv") else "in .venv/uv"


def _uv_command() -> str:
    found = shutil.which("uv")
    if found is not None and _works(found):
        return found
    own = VENVS / "uv" / "bin" / "uv"
    if not _works(str(own)):
        advice = "check that this machine reaches its Python package index, or put uv on the PATH"
        run(
            [sys.executable, "-m", "venv", "--clear", str(VENVS / "uv")], step="uv", do="install python3-venv"
        )
        run(
            [str(VENVS / "uv" / "bin" / "pip"), "install", "-q", f"uv=={UV_VERSION}"],
            step="uv",
            do=advice,
        )
    return str(own)


def _works(command: str) -> bool:
    try:
        return subprocess.run([command, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def environment(name: str) -> str:
    """Bring the environment `name` to exactly what `requirements-<name>.lock` says."""
    lock = ROOT / f"requirements-{name}.lock"
    venv = VENVS / name
    python = venv / "bin" / "python"
    stamp = venv / ".lock-digest"
    value = digest([lock], sys.version, str(ROOT))
    if stamped(stamp, value) and _works(str(python)):
        return "already there"
    quiet = {"UV_PYTHON_DOWNLOADS": "never", "VIRTUAL_ENV": "", "UV_LINK_MODE": _link_mode()}
    advice = f"check that this machine reaches its Python package index; or remove {venv} and run again"
    step = f"venv-{name}"
    stamp.unlink(missing_ok=True)
    if not _works(str(python)):
        command = [_uv_command(), "venv", "--clear", "-q", "-p", sys.executable, str(venv)]
        run(command, step=step, do=advice, environment=quiet)
    command = [_uv_command(), "pip", "sync", "-q", "--require-hashes", "-p", str(python), str(lock)]
    run(command, step=step, do=advice, environment=quiet)
    _know_the_project(venv)
    # A start should not begin with compiling the sources; measured: 2 s less for the workers' first start.
    run([str(python), "-m", "compileall", "-q", "-j", "2", *_compiled(name, venv)], step=step, do=advice)
    write_stamp(stamp, value)
    return f"{sum(1 for _ in venv.glob('lib/python*/site-packages/*.dist-info'))} packages"


def _compiled(name: str, venv: Path) -> list[str]:
    packages = {
        "facade": ("fastapi", "starlette", "pydantic", "sqlalchemy", "uvicorn", "joserfc", "redis", "httpx")
    }
    chosen = packages.get(name, ("rq", "redis", "httpx", "pydicom"))
    return [str(path) for part in chosen for path in venv.glob(f"lib/python*/site-packages/{part}")]


def _link_mode() -> str:
    """Hard links out of uv's cache cost no disk; over a file-system border uv must copy."""
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    cache.mkdir(parents=True, exist_ok=True)
    VENVS.mkdir(parents=True, exist_ok=True)
    return "hardlink" if cache.stat().st_dev == VENVS.stat().st_dev else "copy"


def _know_the_project(venv: Path) -> None:
    """Put the checkout on the environment's path, and the operators' command beside its Python."""
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "neuronova.pth").write_text(f"{ROOT}\n")
    launcher = venv / "bin" / "neuronova"
    launcher.write_text(LAUNCHER.format(python=venv / "bin" / "python"))
    launcher.chmod(0o755)
