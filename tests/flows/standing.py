"""A process that stands still for a while (SIGSTOP), so that a moment can be made sure of."""

import os
import signal


class standing_still:
    """A process is stopped for the time of the block; the value says whether it was there to stop."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> bool:
        return _signal(self._pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        _signal(self._pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
