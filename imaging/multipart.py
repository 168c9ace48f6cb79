"""multipart/related, both ways: where the parts of a spooled upload lie, and the envelope of an answer.

Nothing is read into memory: a body is mapped and only its boundaries are looked for, so that an upload of
gigabytes costs no more than its headers. Sources: RFC 2046 5.1, RFC 2387, PS3.18 8.6.1.2.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from imaging.errors import MultipartError

_MOST_PARTS = 100_000
_MOST_HEADER = 8192


@dataclass(frozen=True)
class Extent:
    """One part's body within the file, and its own media type (lower case, empty if it has none)."""

    start: int
    length: int
    media_type: str


def boundary(content_type: str) -> str:
    """The boundary of a multipart/related header; MultipartError if it is none."""
    message = Message()
    message["Content-Type"] = content_type
    found = message.get_boundary()
    if message.get_content_type() != "multipart/related" or not found or len(found) > 70:
        raise MultipartError("The body is not multipart/related with a boundary.")
    return found


def extents(path: Path, content_type: str) -> list[Extent]:
    """Where the parts are. MultipartError for what is not complete multipart."""
    delimiter = b"--" + boundary(content_type).encode("latin-1")
    if path.stat().st_size == 0:
        raise MultipartError("The body is empty.")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
        found: list[Extent] = []
        position = 0 if body[: len(delimiter)] == delimiter else body.find(b"\r\n" + delimiter) + 2
        if position == 1:
            raise MultipartError("The body does not have its boundary.")
        while True:
            position += len(delimiter)
            if body[position : position + 2] == b"--":
                return found
            head = body.find(b"\r\n\r\n", position, position + _MOST_HEADER)
            if head < 0:
                raise MultipartError("A part has no end of its header.")
            end = body.find(b"\r\n" + delimiter, head + 2)
            if end < 0:
                raise MultipartError("The body ends within a part.")
            if len(found) == _MOST_PARTS:
                raise MultipartError("There are too many parts.")
            start = head + 4
            found.append(Extent(start, max(0, end - start), _media_type(body[position:head])))
            position = end + 2


def _media_type(header: bytes) -> str:
    match = re.search(rb"(?im)^content-type:[ \t]*([^;\r\n]+)", header)
    return match.group(1).decode("latin-1").strip().lower() if match else ""


def part_header(mark: str, media_type: str) -> bytes:
    """What goes before each part of an answer."""
    return f"--{mark}\r\nContent-Type: {media_type}\r\n\r\n".encode()


def closing(mark: str) -> bytes:
    """What goes after the last part."""
    return f"--{mark}--\r\n".encode()
