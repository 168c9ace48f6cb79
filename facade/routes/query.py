"""The query of a QIDO-RS request, read once: matching keys, fields to include, page.

A key that is not offered at the level is refused, because a filter that is silently ignored shows too much.
Sources: PS3.18 8.3.4 (matching, includefield, fuzzymatching, limit, offset) and table 10.6.1-5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from facade.errors import BadRequestError, UnknownParameterError
from imaging import dictionary, matching
from imaging.attributes import ANSWERED, BY_NAME, Key, Level, belongs

MOST = 200
_CONTROL = frozenset({"limit", "offset", "includefield", "fuzzymatching"})
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NOT_FUZZY = '299 - "The fuzzymatching parameter is not supported. Only literal matching has been performed."'
_MORE = (
    '299 - "The number of results exceeded the maximum supported by the server.'
    ' Additional results can be requested."'
)


@dataclass(frozen=True)
class Query:
    """What is looked for. `include` are tags, or `all`."""

    keys: Mapping[Key, str]
    include: frozenset[str]
    limit: int
    offset: int
    is_fuzzy: bool

    def at(self, level: Level) -> dict[Key, str]:
        """The keys of one level."""
        return {key: value for key, value in self.keys.items() if key.level == level}

    def matches(self, level: Level, tags: Mapping[str, Any], *, but: Iterable[str] = ()) -> bool:
        """Do these elements match every key of the level, but for the keywords matched elsewhere?"""
        return all(
            key.keyword in but or matching.matches(key, value, tags) for key, value in self.at(level).items()
        )

    def answered(self, levels: Sequence[Level], tags: Mapping[str, Any]) -> dict[str, Any]:
        """The elements that are answered for these levels: the standard's, and those that were asked for."""
        level = levels[-1]
        usual = {tag for one in levels for tag in ANSWERED[one]}
        is_all = "all" in self.include
        return {
            tag: element
            for tag, element in tags.items()
            if tag in usual or ((is_all or tag in self.include) and belongs(tag, level))
        }

    def warnings(self, *, has_more: bool) -> str | None:
        """The Warning header: more could be had than one answer holds; a fuzzy search was literal."""
        said = [_MORE] if has_more and self.limit == MOST else []
        said += [_NOT_FUZZY] if self.is_fuzzy else []
        return ", ".join(said) or None


def query(request: Request, levels: Sequence[Level]) -> Query:
    """Read the query; UnknownParameterError and BadRequestError name what is wrong."""
    keys: dict[Key, str] = {}
    for name, value in request.query_params.multi_items():
        if name in _CONTROL:
            continue
        key = BY_NAME.get(name.upper() if _TAG.match(name) else name)
        if key is None or key.level not in levels:
            raise UnknownParameterError(name[:64])
        if key in keys:
            raise BadRequestError(key.keyword)
        if not value.strip():  # an empty key matches everything (universal matching)
            continue
        try:
            matching.check(key, value.strip())
        except ValueError as error:
            raise BadRequestError(str(error)) from error
        keys[key] = value.strip()
    fuzzy = request.query_params.get("fuzzymatching", "false").lower()
    if fuzzy not in ("true", "false"):
        raise BadRequestError("fuzzymatching")
    limit, offset = (_number(request, name, default) for name, default in (("limit", MOST), ("offset", 0)))
    return Query(keys, _include(request), min(limit, MOST), offset, fuzzy == "true")


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.getlist(name)
    text = given[0] if given else str(default)
    if len(given) > 1 or not re.fullmatch(r"\d{1,6}", text, re.ASCII) or (name == "limit" and int(text) == 0):
        raise BadRequestError(name)
    return int(text)


def _include(request: Request) -> frozenset[str]:
    """Tags of `includefield` (repeated or with commas). A path counts by its first attribute, which comes
    whole; what is no attribute is left out, as the standard lets a server do.
    """
    given = [
        part.partition(".")[0]
        for text in request.query_params.getlist("includefield")
        for part in text.split(",")
    ]
    known = dictionary.tags()
    return frozenset(
        part if part == "all" else part.upper() if _TAG.fullmatch(part) else known.get(part, "")
        for part in given
    ) - {""}
