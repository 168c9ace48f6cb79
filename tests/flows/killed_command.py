"""The operators' command, killed at a line: ends itself by SIGKILL when it has run so many lines of what
corrects whose images these are.

Forked from a process that has loaded the command before (`multiprocessing`'s fork server): a command loads
for a second, and there are many.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from imaging import corrections
from neuronova.cli import app
from subscriptions import assign, correct, merge, release

FILES = {module.__file__ for module in (assign, correct, corrections, merge, release)}


def main(lines: int, arguments: tuple[str, ...], folder: Path) -> None:
    """Run the command, its output in files of the folder; `lines`: kill it after so many."""
    for stream in (sys.stdout, sys.stderr):
        file = os.open(folder / stream.name.strip("<>"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, stream.fileno())
    sys.settrace(_killing(lines))
    app(arguments, prog_name="neuronova")


def _killing(left: int) -> Any:
    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace
