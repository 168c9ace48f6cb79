"""How an image is to be shown: the parameters of a rendered answer, as plain values. Standard library only.

Sources: PS3.18 8.3.5.1 (quality, viewport, window), 8.7.4 (media types), 10.4.1.1.3; PS3.3 C.11.2.1 (the
functions of a window).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

MEDIA_TYPES: Final = ("image/jpeg", "image/png")
FUNCTIONS: Final = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
THUMBNAIL_SIZE: Final = (128, 128)
# What one picture may take: a frame of 64 Mi pixels is decoded, a viewport has at most 4096 on a side.
MOST_PIXELS: Final = 1 << 26
MOST_VIEWPORT: Final = 4096
MOST_PICTURES: Final = 1000
_NUMBER = re.compile(r"[+-]?(\d{1,9}(\.\d{1,9})?|\.\d{1,9})([eE][+-]?\d{1,2})?", re.ASCII)
_SIZE = re.compile(r"[1-9]\d{0,4}", re.ASCII)


@dataclass(frozen=True)
class Display:
    """One way to show a frame.

    `window` is (centre, width, function of VOI LUT); `viewport` (width, height) in pixels of the picture;
    `region` (x, y, width, height) of the frame, where a negative width or height turns the picture over.
    """

    media_type: str = "image/jpeg"
    quality: int = 90
    window: tuple[float, float, str] | None = None
    viewport: tuple[int, int] | None = None
    region: tuple[float, float, float, float] | None = None

    def to_json(self) -> str:
        """As text: for the pixels process, and for a tag of the answer."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Display:
        """The reverse."""
        values = json.loads(text)
        tuples = {name: tuple(values[name]) for name in ("window", "viewport", "region") if values[name]}
        return cls(**(values | tuples))


def display(parameters: Mapping[str, str], *, thumbnail: bool = False) -> Display:
    """The parameters of a request; ValueError with the name of one that cannot be read or is not offered."""
    how = Display(viewport=THUMBNAIL_SIZE, quality=80) if thumbnail else Display()
    for name, value in parameters.items():
        match name:
            case "quality" if not thumbnail:
                how = replace(how, quality=_quality(value))
            case "window" if not thumbnail:
                how = replace(how, window=_window(value))
            case "viewport":
                viewport, region = _viewport(value, with_region=not thumbnail)
                how = replace(how, viewport=viewport, region=region)
            case _:
                raise ValueError(name)
    return how


def _quality(text: str) -> int:
    if not _SIZE.fullmatch(text) or int(text) > 100:
        raise ValueError("quality")
    return int(text)


def _window(text: str) -> tuple[float, float, str]:
    parts = text.split(",")
    function = FUNCTIONS.get(parts[2].lower() if len(parts) == 3 else "linear")
    if len(parts) not in (2, 3) or function is None or not all(map(_NUMBER.fullmatch, parts[:2])):
        raise ValueError("window")
    centre, width = float(parts[0]), float(parts[1])
    # C.11.2.1.2.1 and C.11.2.1.3: a width of at least 1 for LINEAR, over 0 for the others.
    if not (width >= 1 if function == "LINEAR" else width > 0) or not math.isfinite(centre):
        raise ValueError("window")
    return centre, width, function


def _viewport(
    text: str, *, with_region: bool
) -> tuple[tuple[int, int], tuple[float, float, float, float] | None]:
    parts = text.split(",")
    if not 2 <= len(parts) <= (6 if with_region else 2) or not all(map(_SIZE.fullmatch, parts[:2])):
        raise ValueError("viewport")
    width, height = int(parts[0]), int(parts[1])
    if max(width, height) > MOST_VIEWPORT:
        raise ValueError("viewport")
    if len(parts) == 2:
        return (width, height), None
    # What is left out is zero: the origin, and up to the far edge.
    given = [part or "0" for part in (*parts[2:], "", "", "")][:4]
    if not all(map(_NUMBER.fullmatch, given)):
        raise ValueError("viewport")
    x, y, across, down = map(float, given)
    if x < 0 or y < 0:
        raise ValueError("viewport")
    return (width, height), (x, y, across, down)
