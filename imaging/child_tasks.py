"""What a child can be asked to do (imaging.child): files by their paths, small values as bytes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from imaging import read, rendering, volumes
from imaging.display import Display
from imaging.errors import DICOMError
from imaging.native import to_explicit
from imaging.part10 import opened
from imaging.transcode import second_digest, transcode

Result = tuple[dict[str, Any], list[bytes]]


def run(header: dict[str, Any], parts: list[bytes]) -> Result:
    """Do one task."""
    match header["task"]:
        case "inspect":
            return {}, [read.inspect(parts[0]).to_json().encode()]
        case "inspect-part":
            with opened(header["path"], header["start"], header["length"]) as file:
                return {}, [read.inspect(file).to_json().encode()]
        case "transcode":
            return _transcode(header)
        case "verify":
            with opened(header["path"]) as file:
                return {"digest": second_digest(file)}, []
        case "to-explicit":
            with opened(header["path"]) as file, open(header["target"], "r+b") as target:
                return {"digest": to_explicit(file, target)}, []
        case "frame":
            return {}, [rendering.native(rendering.one_frame(parts[0], header["syntax"], parts[1]))]
        case "render":
            frame = rendering.one_frame(parts[0], header["syntax"], parts[1])
            return {}, [rendering.render(frame, header["number"], Display.from_json(header["display"]))]
        case "volume":
            return volumes.reply(parts)
        case task:
            raise DICOMError(f"There is no task {task!r}.")


def _transcode(header: dict[str, Any]) -> Result:
    with opened(header["path"]) as file, open(header["target"], "r+b") as target:
        return asdict(transcode(file, target)), []
