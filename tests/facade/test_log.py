"""What a process of the product writes to its log, and what never gets there."""

from __future__ import annotations

import json
import subprocess
import sys

PROCESS = """
import logging, warnings
from facade import log
log.configure("worker")
logging.getLogger("product").warning("said", extra={"count": 3})
warnings.warn("Invalid value for VR DA: '19700101'")
logging.getLogger("pydicom").warning("Invalid value for VR DA: '19700101'")
"""


def test_what_a_library_repeats_of_a_file_is_not_logged() -> None:
    done = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    told = json.loads(line)
    assert (told["process"], told["message"], told["count"]) == ("worker", "said", 3)
    assert "1970" not in done.stderr + done.stdout
