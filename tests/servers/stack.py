"""One installation for a test session: rendered and supervised like the product, elsewhere, on free ports."""

import dataclasses
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from deploy import operate, programs, ready
from deploy.__main__ import free_ports
from deploy.environment import hapi_url, redis_url, variables
from deploy.render import render
from deploy.settings import ROOT, Settings, saved
from deploy.supervise import Supervisor

T = TypeVar("T")
START_S = 240
FOLDER = "NEURONOVA_TEST_FOLDER"
"""Variable with the folder of a run's stacks."""
SMALL = {
    # Half the processor time for HAPI's start; over tests/escape it takes a sixth less with 1g than with 512m
    # (measured: 48 and 60 s).
    "hapi_heap": "1g",
    "hapi_java_options": "-XX:TieredStopAtLevel=1",
    "rate_general": 0,
    "rate_dicomweb": 0,
    "rate_auth": 0,
    "rate_websocket": 0,
    "in_flight_max": 0,
    "complete_after_s": 1,
    "stable_age_s": 1,
    "lease_s": 4,
    "reconcile_s": 1,
    # At the start only: a test that deletes in Orthanc begins ingest anew.
    "compare_s": 3600,
    # Tests about something else log in by password alone.
    "totp_required": False,
}


made: list["Stack"] = []
"""The stacks of this process."""


class Stack:
    """The product (or the part that a test needs) on this machine, for this session."""

    def __init__(self, settings: Settings, *, is_ours: bool) -> None:
        self.settings = settings
        self.var = settings.var
        self.is_ours = is_ours
        self.supervisor = Supervisor(settings.var)
        self.secrets: Mapping[str, str] = render(settings)
        self._started: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """The public origin."""
        return self.settings.base_url

    @property
    def hapi_url(self) -> str:
        """HAPI itself, for tests that look behind the facade."""
        return hapi_url(self.settings)

    @property
    def redis_url(self) -> str:
        """Redis, by its socket."""
        return redis_url(self.settings)

    @property
    def orthanc_url(self) -> str:
        """Orthanc's HTTP."""
        return f"http://127.0.0.1:{self.settings.orthanc_port}"

    @property
    def orthanc_login(self) -> tuple[str, str]:
        """User and password of Orthanc's HTTP."""
        return "imaging", self.secrets["orthanc-imaging"]

    @property
    def openemr_url(self) -> str:
        """SQLAlchemy URL of OpenEMR's database, with the rights of OpenEMR's own login."""
        password, port = self.secrets["mariadb-openemr"], self.settings.mariadb_port
        return f"mysql+pymysql://openemr:{password}@127.0.0.1:{port}/openemr?charset=utf8mb4"

    def variables(self, program: str) -> dict[str, str]:
        """The variables that a program of this stack is started with."""
        return variables(self.settings, self.secrets)[program]

    def python(self, name: str) -> Path:
        """The interpreter of an environment: facade, worker or dev."""
        return ROOT / ".venv" / name / "bin" / "python"

    @property
    def cli(self) -> Path:
        """The operators' command."""
        return ROOT / ".venv" / "worker" / "bin" / "neuronova"

    def need(self, *names: str) -> "Stack":
        """Start programs that no test has started yet, and wait until they are ready; none named: all."""
        wanted = set(operate.choose(self.settings, names)) - self._started
        if wanted:
            started = operate.up(self.settings, sorted(wanted), ends_with_parent=True, timeout_s=START_S)
            self._process = started.supervisord or self._process
            self._started |= wanted
        return self

    def start(self, *names: str) -> None:
        """Start stopped programs and wait until they are ready."""
        self.supervisor.start(names)
        self.wait_ready(*names)

    def stop(self, name: str) -> None:
        """Stop a program as an operator would."""
        self.supervisor.stop(name)

    def pid(self, name: str) -> int:
        """The main process of a running program."""
        return self.supervisor.states()[name].pid

    def kill(self, name: str, *, group: bool = False) -> int:
        """kill -9 of a program's main process (`group`: its children too); supervision starts it again.

        Returns the number of the killed process when it has gone. `wait_ready(name)` waits for the next one.
        """
        pid = self.pid(name)
        assert pid > 0, f"{name} does not run"
        if group:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.pid(name) != pid, f"{name} to be gone")
        return pid

    def wait_ready(self, *names: str, timeout_s: float = START_S) -> None:
        """Wait until programs answer; none named: everything that was started."""
        ready.wait(self.settings, self.secrets, names or sorted(self._started), timeout_s)

    def log(self, name: str) -> str:
        """What a program has logged."""
        path = self.var / "log" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def errors(self) -> dict[str, str]:
        """The last errors that each program has logged, by program."""
        found = {}
        for path in sorted((self.var / "log").glob("*.log")):
            lines = [line for line in self.log(path.stem).splitlines() if '"ERROR"' in line]
            if lines:
                found[path.stem] = "\n".join(lines[-5:])
        return found

    def processes(self) -> dict[int, str]:
        """Every process of this stack: supervisord and whatever came from it, by session or by folder."""
        return processes_of(self.var)

    def close(self) -> None:
        """Stop everything, prove that nothing is left, and remove the folder."""
        if not self.is_ours:
            return
        # A second Ctrl-C must not leave half of the servers; the first one of what comes later counts again.
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
        try:
            self._end()
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _end(self) -> None:
        if self.supervisor.is_up():
            self.supervisor.shutdown(last=programs.SERVERS)
        if self._process is not None:
            self._process.wait(START_S)
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        keep = os.environ.get("NEURONOVA_KEEP_LOGS")
        if keep:
            shutil.copytree(self.var / "log", Path(keep) / self.var.name, dirs_exist_ok=True)
        shutil.rmtree(self.var, ignore_errors=True)
        assert not left, f"processes were left: {left}"


def processes_of(var: Path) -> dict[int, str]:
    """Processes whose command line or environment names the folder, except this one and its ancestors."""
    found = {}
    needle = os.fsencode(var)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            named = needle in command or needle + b"/" in (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if named and command:
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def make_stack() -> Stack:
    """A new stack, or the running one that NEURONOVA_STACK names (to try one test many times)."""
    running = os.environ.get("NEURONOVA_STACK")
    if running:
        stack = Stack(saved(Path(running)), is_ours=False)
    else:
        # Short: a unix socket's path has at most 107 bytes.
        var = Path(tempfile.mkdtemp(prefix="nn", dir=os.environ.get(FOLDER, "/tmp")))
        stack = Stack(free_ports(dataclasses.replace(Settings(), var=var, **SMALL)), is_ours=True)
    made.append(stack)
    return stack


def wait_for(condition: Callable[[], T], what: str, timeout_s: float = 30) -> T:
    """Wait until a condition holds, and answer what it answered.

    What takes long is asked for less often: a question to HAPI costs the processor that the answer needs.
    """
    began = time.monotonic()
    while True:
        answer = condition()
        if answer:
            return answer
        waited = time.monotonic() - began
        assert waited < timeout_s, f"waited {timeout_s} s for {what}"
        time.sleep(min(0.3, 0.03 + waited / 10))
