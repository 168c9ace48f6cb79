"""Attribute matching of queries: one value of a request against one DICOM JSON element. Pure; standard
library only.

Wildcards take one pass over the text whatever the pattern. Sources: PS3.4 C.2.2.2.1 to C.2.2.2.5 (single
value, list of UIDs, universal, wildcard, range), PS3.18 8.3.4.2; PS3.5 6.2 (PN, DA, TM).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from imaging.attributes import Key
from imaging.frames import is_uid

_FORM = {
    "DA": re.compile(r"\d{8}", re.ASCII),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?", re.ASCII),
}
_INTEGER = re.compile(r"[+-]?\d{1,12}", re.ASCII)
_LIST = re.compile(r"[,\\]")
_PN_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def check(key: Key, value: str) -> None:
    """ValueError if this is no value to match this attribute with."""
    if key.vr == "UI":
        is_good = all(is_uid(uid) for uid in _LIST.split(value))
    elif key.vr in _FORM:
        start, _, end = value.partition("-")
        is_good = all(_FORM[key.vr].fullmatch(part) for part in (start, end) if part)
        is_good = is_good and bool(start or end) and (not (start and end) or start <= end)
    elif key.vr == "IS":
        is_good = bool(_INTEGER.fullmatch(value))
    else:
        is_good = len(value) <= 324  # the longest PN: five components of three groups
    if not is_good:
        raise ValueError(key.keyword)


def has_wildcard(value: str) -> bool:
    """Does the value need more than equality?"""
    return "*" in value or "?" in value


def matches(key: Key, value: str, tags: Mapping[str, Any]) -> bool:
    """Does an element of this data set match? One that is missing or empty matches `*` alone."""
    if value.strip("*") == "" and value:
        return True
    return any(_matches(key.vr, value, one) for one in _values(key.tag.split("."), tags))


def wildcard(pattern: str, text: str) -> bool:
    """`*` for any sequence, `?` for one character (PS3.4 C.2.2.2.4)."""
    at, back, star = 0, 0, -1
    place = 0
    while place < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, back, at = at, place, at + 1
        elif at < len(pattern) and pattern[at] in (text[place], "?"):
            at, place = at + 1, place + 1
        elif star >= 0:
            back, at = back + 1, star + 1
            place = back
        else:
            return False
    return pattern[at:].strip("*") == ""


def _values(path: Sequence[str], tags: Mapping[str, Any]) -> list[Any]:
    values = tags.get(path[0], {}).get("Value", [])
    if len(path) == 1:
        return [value for value in values if value is not None]
    return [one for item in values for one in _values(path[1:], item)]


def _matches(vr: str, wanted: str, stored: Any) -> bool:
    match vr:
        case "UI":
            return stored in _LIST.split(wanted)
        case "DA" | "TM":
            start, dash, end = wanted.partition("-")
            end = end if dash else start
            text = str(stored)
            return start <= text and (not end or text[: len(end)] <= end)
        case "IS":
            return _INTEGER.fullmatch(str(stored)) is not None and int(stored) == int(wanted)
        case "PN":
            return _name(wanted, stored)
        case "CS":
            return any(wildcard(one.strip(), str(stored)) for one in _LIST.split(wanted))
        case _:
            return wildcard(wanted, str(stored))


def _name(wanted: str, stored: Mapping[str, str]) -> bool:
    """Each group that is given in its place; a single one in any of them. Case does not count."""
    groups = [stored.get(name, "").rstrip("^ ").casefold() for name in _PN_GROUPS]
    asked = [one.rstrip("^ ").casefold() for one in wanted.split("=")][:3]
    if len(asked) == 1:
        return any(group and wildcard(asked[0], group) for group in groups)
    return all(not one or wildcard(one, group) for one, group in zip(asked, groups, strict=False))
