"""The operators' command, killed at a line: `python killed_command.py N ARGUMENTS` ends itself by SIGKILL
when it has run N lines of what corrects whose images these are.
"""

import os
import signal
import sys
from types import FrameType
from typing import Any

from imaging import corrections
from neuronova.cli import app
from subscriptions import assign, correct, merge, release

FILES = {module.__file__ for module in (assign, correct, corrections, merge, release)}
left = int(sys.argv.pop(1))


def trace(frame: FrameType, event: str, _: Any) -> Any:
    """Counts lines of these files."""
    global left
    if frame.f_code.co_filename not in FILES:
        return None
    if event == "line":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace


sys.settrace(trace)
app()
