"""What a child can be asked to do (imaging.child). Bytes in, JSON and bytes out."""

from __future__ import annotations

from typing import Any

from imaging import read, rendering, volumes
from imaging.display import Display
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
        case "frame":
            return {}, [rendering.native(rendering.one_frame(parts[0], header["syntax"], parts[1]))]
        case "render":
            frame = rendering.one_frame(parts[0], header["syntax"], parts[1])
            return {}, [rendering.render(frame, header["number"], Display.from_json(header["display"]))]
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
