"""Damaged DICOM files: pydicom's own, changed at random but the same way each time."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pydicom.data

_MOST_BYTES = 60_000
_LENGTHS = (0, 1, 2, 7, 0xFF, 0xFFFE, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_MARKS = (
    b"\xe0\x7f\x10\x00OW\0\0",
    b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\x28\x00\x10\x00US\x02\x00\xff\xff",
    b"\x28\x00\x00\x01US\x02\x00\x40\x00",
    b"\x28\x00\x08\x00IS\x0a\x002147483647",
    b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff",
    b"\x02\x00\x10\x00UI\x16\x001.2.840.10008.1.2.4.90",
)


def seeds() -> list[bytes]:
    """pydicom's small files, in the order of their names."""
    folder = Path(pydicom.data.__file__).parent
    paths = sorted(folder.rglob("*.dcm"), key=lambda path: path.name)
    return [path.read_bytes() for path in paths if path.stat().st_size <= _MOST_BYTES]


def damaged(source: bytes, chance: random.Random) -> bytes:
    """The file after one to four changes."""
    data = bytearray(source)
    for _ in range(chance.randint(1, 4)):
        # Most of what a parser decides on is at the beginning or around the pixel data.
        pixels = data.rfind(b"\xe0\x7f\x10\x00")
        near = [range(128, min(len(data), 1500)), range(len(data))]
        near += [range(max(0, pixels - 200), min(len(data), pixels + 200))] if pixels > 0 else []
        span = chance.choice([one for one in near if len(one) > 8] or [range(1)])
        at = chance.choice(span)
        match chance.randint(0, 6):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                data[at : at + 4] = struct.pack("<I", chance.choice(_LENGTHS))
            case 2:
                data[at : at + 2] = struct.pack("<H", chance.choice(_LENGTHS) & 0xFFFF)
            case 3:
                del data[at : at + chance.choice((1, 2, 8, 100))]
            case 4:
                data[at:at] = data[at : at + chance.choice((2, 8, 64, 1000))]
            case 5:
                data[at:at] = chance.choice(_MARKS)
            case _:
                data = data[: max(1, at)]
        if not data:
            break
    return bytes(data)
