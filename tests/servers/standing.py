"""A process that stands still for a while (SIGSTOP), so that a moment can be made sure of."""

import os
import signal
import time
from pathlib import Path

_PATIENCE_S = 10
_STILL = frozenset("TtZX")


class standing_still:
    """A process is stopped for the time of the block; the value says whether it was there to stop."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> bool:
        return _signal(self._pid, signal.SIGSTOP) and self._is_stopped()

    def __exit__(self, *_: object) -> None:
        _signal(self._pid, signal.SIGCONT)

    def _is_stopped(self) -> bool:
        """Wait: on a busy machine threads run on until the one that takes the signal has its turn."""
        end = time.monotonic() + _PATIENCE_S
        while not (states := _states(self._pid)) <= _STILL:
            assert time.monotonic() < end, f"process {self._pid} goes on"
            time.sleep(0.001)
        return bool(states)


def _states(pid: int) -> set[str]:
    """State of each thread (proc(5)); none of a process that has ended."""
    try:
        return {
            (thread / "stat").read_text().rpartition(")")[2].split()[0]
            for thread in Path(f"/proc/{pid}/task").iterdir()
        }
    except (FileNotFoundError, ProcessLookupError):
        return set()


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
