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


def main(lines: int, arguments: tuple[str, ...], stdout: Path, stderr: Path) -> None:
    """Run the command, its output in these files; `lines`: kill it after so many."""
    for file, stream in ((stdout, sys.stdout), (stderr, sys.stderr)):
        os.dup2(os.open(file, os.O_WRONLY), stream.fileno())
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
