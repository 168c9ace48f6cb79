"""The file meta information of a PS3.10 file, from its first bytes. Standard library only.

Its elements are Explicit VR Little Endian: tag 4, VR 2, length 2; or, for some VRs, reserved 2 and length 4.
Source: PS3.10 7.1.
"""

from __future__ import annotations

from imaging.errors import DICOMError
from imaging.frames import is_uid


def transfer_syntax(head: bytes) -> str:
    """The transfer syntax that the first 4 kB of a file say; empty if they do not."""
    at = head.find(b"\x02\x00\x10\x00UI", 132, 4096)
    if at < 0:
        return ""
    length = int.from_bytes(head[at + 6 : at + 8], "little")
    text = head[at + 8 : at + 8 + length].rstrip(b"\0 ").decode("ascii", "replace")
    return text if is_uid(text) else ""


def meta_end(head: bytes) -> int:
    """Where the data set begins, by the group length of the file meta information; 0 if there is none."""
    if head[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        return 0
    return 144 + int.from_bytes(head[140:144], "little")


def meta_as(head: bytes, syntax: str) -> bytes:
    """The file meta information (from "DICM" on) with another transfer syntax; DICOMError if it is torn."""
    end = meta_end(head)
    if not end:
        raise DICOMError("The file meta information has no group length.")
    position, kept, is_named = 144, b"", False
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    while position < min(end, len(head)):
        is_long = head[position + 4 : position + 6] in (b"OB", b"UN", b"UT", b"UC", b"UR", b"SQ")
        value = position + (12 if is_long else 8)
        size = int.from_bytes(head[value - (4 if is_long else 2) : value], "little")
        if head[position : position + 4] == b"\x02\x00\x10\x00":
            is_named = True
            kept += head[position : position + 6] + len(uid).to_bytes(2, "little") + uid
        else:
            kept += head[position : value + size]
        position = value + size
    if not is_named or position != end or position > len(head):
        raise DICOMError("The file meta information has another length than it says.")
    return head[128:140] + len(kept).to_bytes(4, "little") + kept
