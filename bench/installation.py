"""An installation of the bench's own: fresh folder, free ports, no rate limits, thrown away at the end."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from demo import people
from demo.run import Run
from deploy import operate
from deploy.__main__ import free_ports
from deploy.settings import ROOT, Settings, from_process
from deploy.supervise import Supervisor

STOP_S = 90
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Installation:
    """The running product."""

    settings: Settings
    secrets: dict[str, str]
    start_s: float
    run: Run
    reads: int = field(default=0)
    """Audited requests that the load has made."""

    @property
    def supervisor(self) -> Supervisor:
        """Its supervisord."""
        return Supervisor(self.settings.var)

    def memory_mb(self) -> float:
        """Memory of all its processes, what they share counted once (proc(5), Pss)."""
        kilobytes = 0
        for pid, program in self._programs().items():
            if program is None:
                continue
            with suppress(FileNotFoundError, ProcessLookupError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kilobytes / 1000

    def processor_s(self) -> dict[str, float]:
        """Processor time so far of each program and of what it has started; of the bench's own nginx too."""
        used: dict[str, float] = {}
        for pid, program in self._programs().items():
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                name = program or "reference"
                used[name] = used.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / _TICKS
        return used

    def _programs(self) -> dict[int, str | None]:
        """Every process of the product with its program, and those of the bench (None) but this one."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, ProcessLookupError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        mains: dict[int, str | None] = {
            state.pid: name for name, state in self.supervisor.states().items() if state.pid
        }
        roots = {self.supervisor.pid(): "supervisord", os.getpid(): None} | mains
        found: dict[int, str | None] = {}
        for pid in parents:
            ancestor = pid
            while ancestor and ancestor not in roots:
                ancestor = parents.get(ancestor, 0)
            if ancestor and pid != os.getpid():
                found[pid] = roots[ancestor]
        return found


@contextmanager
def installation(programs: Sequence[str] = ()) -> Iterator[Installation]:
    """Start these programs (none named: all), register people and patients as the demo does.

    It is stopped and removed whatever happens.
    """
    # Short, because a unix socket's path has at most 107 bytes.
    var = Path(tempfile.mkdtemp(prefix="nnb"))
    asked = from_process(None)
    settings = free_ports(
        dataclasses.replace(
            Settings(),
            var=var,
            hapi_database_url=asked.hapi_database_url,
            hapi_database_user=asked.hapi_database_user,
            hapi_database_password_file=asked.hapi_database_password_file,
            rate_general=0,
            rate_dicomweb=0,
            rate_auth=0,
            totp_required=False,
            rate_websocket=0,
            inference_threads=len(os.sched_getaffinity(0)),
        )
    )
    supervisord: subprocess.Popen[bytes] | None = None
    try:
        began = time.monotonic()
        started = operate.up(settings, programs, ends_with_parent=True)
        start_s = time.monotonic() - began
        supervisord = started.supervisord
        run = Run.load(settings.base_url, var, ROOT)
        run.live["dicom_port"] = settings.dicom_port
        for step in people.ALL:
            step(run)
        yield Installation(settings, dict(started.secrets), start_s, run)
    finally:
        with _uninterrupted():
            operate.down(var)
            if supervisord is not None:
                supervisord.wait(STOP_S)
            shutil.rmtree(var, ignore_errors=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not leave servers behind."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
