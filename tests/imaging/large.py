"""Files larger than what they are read with, made without having them in memory."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from tests.imaging.builders import file_bytes, mr

FRAME = 2 << 20
_ITEM = b"\xfe\xff\x00\xe0"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def header(frames: int, syntax: str) -> bytes:
    """All before the pixel data of `frames` frames of 2 MiB."""
    dataset = mr(np.zeros((1024, 1024), "<u2"), bits_stored=12)
    dataset.NumberOfFrames = frames
    del dataset.PixelData
    return file_bytes(dataset, syntax)


def native(path: Path, frames: int) -> Path:
    """Explicit VR Little Endian, all zero: a hole in the file."""
    with open(path, "wb") as file:
        file.write(header(frames, "1.2.840.10008.1.2.1"))
        file.write(b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", frames * FRAME))
        file.truncate(file.tell() + frames * FRAME)
    return path


def encapsulated(path: Path, frames: int) -> Path:
    """A fragment of 2 MiB for each frame; what is in it nobody decodes (a lossy syntax)."""
    with open(path, "wb") as file:
        file.write(header(frames, JPEG_BASELINE))
        file.write(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + _ITEM + bytes(4))
        for number in range(frames):
            file.write(_ITEM + struct.pack("<I", FRAME) + bytes([number % 255 + 1]))
            file.seek(FRAME - 1, 1)
        file.write(b"\xfe\xff\xdd\xe0\0\0\0\0")
    return path
