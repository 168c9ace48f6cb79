"""What a child can be asked to do (imaging.child). Bytes in, JSON and bytes out."""

from __future__ import annotations

from typing import Any

import numpy as np

from imaging import pixels, read, volumes
from imaging.errors import DICOMError
from imaging.transcode import transcode

Result = tuple[dict[str, Any], list[bytes]]


def run(header: dict[str, Any], parts: list[bytes]) -> Result:
    """Do one task."""
    match header["task"]:
        case "inspect":
            return {}, [read.inspect(parts[0]).to_json().encode()]
        case "inspect-part":
            return {}, [read.inspect(_slice(header)).to_json().encode()]
        case "transcode":
            return _transcode(parts[0])
        case "frames":
            return _frames(parts[0], header["frames"])
        case "volume":
            return volumes.reply(parts)
        case task:
            raise DICOMError(f"There is no task {task!r}.")


def _slice(header: dict[str, Any]) -> bytes:
    with open(header["path"], "rb") as file:
        file.seek(header["start"])
        data = file.read(header["length"])
    if len(data) != header["length"]:
        raise DICOMError("The part is shorter than it should be.")
    return data


def _transcode(data: bytes) -> Result:
    done = transcode(data)
    answer = {
        "outcome": done.outcome,
        "reason": done.reason,
        "transfer_syntax": done.transfer_syntax,
        "digest": done.digest,
    }
    return answer, [] if done.data is None else [done.data]


def _frames(data: bytes, numbers: list[int]) -> Result:
    """Frames as Explicit VR Little Endian holds them; they count from 1."""
    found: dict[int, bytes] = {}
    for index, (frame, _) in enumerate(pixels.frames(read.read(data)), start=1):
        if index in numbers:
            found[index] = np.ascontiguousarray(frame).tobytes()
    return {}, [_of(found, number) for number in numbers]


def _of(frames: dict[int, bytes], number: int) -> bytes:
    if number not in frames:
        raise DICOMError("There is no such frame.")
    return frames[number]
