"""Writes `keywords.json` from pydicom's copy of PS3.6: `python -m imaging.keywords`."""

from __future__ import annotations

import json

from pydicom.datadict import DicomDictionary

from imaging.dictionary import PATH


def generated() -> dict[str, str]:
    """Keyword to tag, without what is retired and without file meta information."""
    return {
        keyword: f"{tag:08X}"
        for tag, (_, _, _, retired, keyword) in sorted(DicomDictionary.items())
        if keyword and retired != "Retired" and tag >> 16 > 2
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(generated(), indent=0) + "\n", "utf-8")
