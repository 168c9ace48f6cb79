"""Keywords of the DICOM data dictionary and their tags, for what needs no pydicom. Standard library only.

`keywords.json` is written by `imaging.keywords` from pydicom's copy of PS3.6.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

PATH = Path(__file__).with_name("keywords.json")


@cache
def tags() -> dict[str, str]:
    """Keyword to tag (8 hex digits)."""
    found: dict[str, str] = json.loads(PATH.read_text("utf-8"))
    return found
