"""Starts supervisord and speaks with it: XML-RPC over its unix socket (supervisord.org/api.html)."""

import ctypes
import http.client
import os
import signal
import socket
import subprocess
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from deploy.launch import PR_SET_PDEATHSIG
from deploy.settings import ROOT

SUPERVISORD = ROOT / ".venv" / "facade" / "bin" / "supervisord"
KEPT_VARIABLES = ("PATH", "HOME", "USER", "LANG", "JAVA_HOME")
START_S = 20
STOP_S = 90
NOT_RUNNING = 70
"""Fault of supervisord: there is nothing to stop (supervisor.xmlrpc.Faults)."""


@dataclass(frozen=True)
class State:
    """What supervisord says of a program."""

    name: str
    state: str
    pid: int
    since: int
    exit_status: int

    @property
    def has_process(self) -> bool:
        """Whether there is something to stop."""
        return self.state in {"STARTING", "RUNNING", "BACKOFF", "STOPPING"}

    @property
    def is_running(self) -> bool:
        """Whether the process has been up for its first seconds."""
        return self.state == "RUNNING"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=STOP_S)
        self._path = path

    def connect(self) -> None:
        # Kept at once, so that close() also ends an attempt that failed.
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection(self._path)
        self._connection = host, connection  # What close() closes.
        return connection


class Supervisor:
    """The supervisord of one installation."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self._socket = var / "run" / "supervisor.sock"

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = _Transport(str(self._socket))
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def pid(self) -> int:
        """Its own process id."""
        return int(self._call("getPID"))

    def launch(self, *, ends_with_parent: bool = False) -> "subprocess.Popen[bytes]":
        """Start it, in the background of this machine or (tests) bound to this process's life."""

        def follow_parent() -> None:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

        environment = {key: os.environ[key] for key in KEPT_VARIABLES if key in os.environ}
        log = self.var / "log" / "supervisord.log"
        process = subprocess.Popen(
            [SUPERVISORD, "-n", "-c", self.var / "etc" / "supervisord.conf"],
            cwd=ROOT,
            env={**environment, "TZ": "UTC", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=follow_parent if ends_with_parent else None,
        )
        deadline = time.monotonic() + START_S
        while not self.is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DeployError("supervisord did not start", do="read the log's last lines", log=log)
            time.sleep(0.05)
        return process

    def reload(self) -> list[str]:
        """Take a new configuration; programs whose configuration changed are stopped. Answers their names."""
        ((added, changed, removed),) = self._call("reloadConfig")
        for name in [*changed, *removed]:
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._call("addProcessGroup", name)
        return [*changed, *removed]

    def states(self) -> dict[str, State]:
        """Every known program."""
        return {
            info["name"]: State(
                info["name"], info["statename"], info["pid"], info["start"], info["exitstatus"]
            )
            for info in self._call("getAllProcessInfo")
        }

    def start(self, names: Iterable[str]) -> None:
        """Start programs that do not run; does not wait."""
        states = self.states()
        for name in names:
            if states[name].state in {"STOPPED", "EXITED", "FATAL"}:
                self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Stop one program and wait until it has ended."""
        self.stop_together([name])

    def stop_together(self, names: Iterable[str]) -> None:
        """Stop several programs at the same time and wait until all have ended."""
        waiting = [name for name, state in self.states().items() if name in set(names) and state.has_process]
        for name in waiting:
            try:
                self._call("stopProcess", name, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != NOT_RUNNING:  # It has just ended, or is being stopped already.
                    raise
        deadline = time.monotonic() + STOP_S
        while waiting and time.monotonic() < deadline:
            time.sleep(0.05)
            states = self.states()
            waiting = [name for name in waiting if states[name].has_process]

    def shutdown(self, *, last: Iterable[str] = ()) -> None:
        """Stop everything, the programs of `last` after the others, and supervisord itself.

        Left to itself supervisord stops one program after another, which adds their times up.
        """
        pid = self.pid()
        self.stop_together(set(self.states()) - set(last))
        self.stop_together(last)
        self._call("shutdown")
        deadline = time.monotonic() + STOP_S
        while _alive(pid):
            if time.monotonic() > deadline:
                raise DeployError(f"supervisord ({pid}) does not end", do=f"look at it, then: kill -9 {pid}")
            time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        # A child of ours that has ended stays until it is waited for.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
