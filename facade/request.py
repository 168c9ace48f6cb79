"""Turns an HTTP request into what is asked (`smart_auth.Interaction`) and how the answer is wanted.

Strict: what cannot be read is refused, here and before anything is decided. Percent-decoding happens once.
Sources: FHIR R4 http.html (interactions, content types), search.html (control parameters, paging).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from facade import parameters
from facade.errors import (
    BadRequestError,
    MethodError,
    NotAcceptableError,
    NotFoundError,
    UnknownParameterError,
)
from facade.parameters import ID, Parameter
from smart_auth.interaction import Interaction

Pairs = Sequence[tuple[str, str]]

_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}", re.ASCII)
_OPERATION = re.compile(r"\$[a-z-]{1,40}", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,10}", re.ASCII)
_ELEMENT = re.compile(r"[a-z][A-Za-z]{0,63}", re.ASCII)
_ETAG = re.compile(r'\s*(?:W/)?"([0-9]{1,10})"\s*', re.ASCII)
_INCLUDE = re.compile(r"([A-Z][A-Za-z]{1,63}):([a-z-]{1,40}|\*)(?::([A-Z][A-Za-z]{1,63}))?", re.ASCII)
MOST_PARAMETERS = 50
MOST_OFFSET = 100_000
JSON_FORMATS = frozenset({"json", "application/json", "application/fhir+json", "text/json"})
_ONCE = frozenset({"_count", "_offset", "_summary", "_elements", "_total", "_format", "_pretty", "_sort"})
# What may stand on a read; a search takes all of them.
_ON_READ = frozenset({"_summary", "_elements", "_format", "_pretty"})
_ON_HISTORY = frozenset({"_count", "_offset", "_format", "_pretty", "_since"})


@dataclass(frozen=True)
class Include:
    """One `_include` or `_revinclude`: the type that holds the reference, its parameter, its target type."""

    source: str
    parameter: str
    target: str | None
    reverse: bool
    iterate: bool

    def pair(self) -> tuple[str, str]:
        """Return it as HAPI is to be asked."""
        name = "_revinclude" if self.reverse else "_include"
        return (
            f"{name}:iterate" if self.iterate else name,
            f"{self.source}:{self.parameter}" + (f":{self.target}" if self.target else ""),
        )


@dataclass(frozen=True)
class Controls:
    """How the answer is wanted."""

    count: int | None = None
    offset: int = 0
    sort: str | None = None
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    since: str | None = None


@dataclass(frozen=True)
class Request:
    """One request as the facade understood it."""

    interaction: Interaction
    search: tuple[Parameter, ...] = ()
    controls: Controls = field(default_factory=Controls)
    client: tuple[tuple[str, str], ...] = ()
    """The client's own parameters, from which paging links are rebuilt."""
    ignored: tuple[str, ...] = ()
    """Unknown parameters that `Prefer: handling=lenient` lets pass."""


def segments(raw_path: bytes) -> list[str]:
    """Split what stands behind `/fhir`, decoding each segment once."""
    prefix = b"/fhir"
    if not raw_path.startswith(prefix) or raw_path[len(prefix) : len(prefix) + 1] not in (b"", b"/"):
        raise NotFoundError()
    parts = raw_path[len(prefix) :].strip(b"/").split(b"/")
    try:
        found = [unquote_to_bytes(part).decode("ascii") for part in parts]
    except UnicodeDecodeError:
        raise NotFoundError() from None
    if found == [""]:
        return []
    if "" in found:
        raise NotFoundError()
    return found


def pairs(text: bytes) -> list[tuple[str, str]]:
    """Read a query string or a form body, strictly: UTF-8, no control characters, bounded."""
    found = []
    for part in text.split(b"&"):
        if not part:
            continue
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        try:
            pair = (unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode())
        except UnicodeDecodeError:
            raise BadRequestError("a parameter is not UTF-8") from None
        if any(ord(c) < 32 or ord(c) == 127 for c in pair[0] + pair[1]):
            raise BadRequestError("a parameter has control characters")
        found.append(pair)
    if len(found) > MOST_PARAMETERS:
        raise BadRequestError("too many parameters")
    return found


def parse(
    method: str,
    raw_path: bytes,
    query: Pairs,
    *,
    base_url: str,
    lenient: bool = False,
    page_max: int = 200,
    body: Any = None,
) -> Request:
    """Return what is asked; `query` holds the query string and, for `_search`, the form body."""
    given = _without_format(query)
    match method, segments(raw_path):
        case _, [*before, name] if name.startswith("$") and not (
            method == "POST" and len(before) == 2 and _OPERATION.fullmatch(name)
        ):
            raise MethodError("this operation is not offered")
        case (("GET" | "HEAD"), [type_]):
            return _search(_known(type_), given, base_url, lenient, page_max)
        case "POST", [type_, "_search"]:
            return _search(_known(type_), given, base_url, lenient, page_max)
        case (("GET" | "HEAD"), [type_, "_history"]):
            controls = _controls(_known(type_), given, page_max, _ON_HISTORY)
            return Request(Interaction("history-type", type_), controls=controls, client=tuple(given))
        case (("GET" | "HEAD"), [type_, id_]):
            controls = _controls(_known(type_), given, page_max, _ON_READ)
            return Request(Interaction("read", type_, _id(id_)), controls=controls, client=tuple(given))
        case (("GET" | "HEAD"), [type_, id_, "_history"]):
            controls = _controls(_known(type_), given, page_max, _ON_HISTORY)
            return Request(
                Interaction("history-instance", type_, _id(id_)), controls=controls, client=tuple(given)
            )
        case (("GET" | "HEAD"), [type_, id_, "_history", version]):
            controls = _controls(_known(type_), given, page_max, _ON_READ)
            if not _VERSION.fullmatch(version):
                raise NotFoundError()
            return Request(Interaction("vread", type_, _id(id_), version), controls=controls)
        case "POST", [type_]:
            _nothing(given)
            return Request(Interaction("create", _known(type_), body=body))
        case "PUT", [type_, id_]:
            _nothing(given)
            return Request(Interaction("update", _known(type_), _id(id_), body=body))
        case "DELETE", [type_, id_]:
            _nothing(given)
            return Request(Interaction("delete", _known(type_), _id(id_)))
        case "POST", [type_, id_, operation] if _OPERATION.fullmatch(operation):
            _nothing(given)
            return Request(Interaction("operation", _known(type_), _id(id_), operation=operation, body=body))
        case _, [type_, *_] if _TYPE.fullmatch(type_):
            raise MethodError()
        case _, []:
            raise MethodError()
    raise NotFoundError()


def criteria(type_: str, text: str, base_url: str) -> tuple[Parameter, ...]:
    """Read If-None-Exist or an inline match URL's query: search parameters of the type and nothing else."""
    given = pairs(text.removeprefix("?").encode())
    if not given:
        raise BadRequestError("the condition is empty")
    found = tuple(parameters.parse(type_, name, value, base_url) for name, value in given)
    if any(parameter.chain for parameter in found):
        raise UnknownParameterError("a condition has no chains")
    return found


def if_match(header: str | None, body: Any) -> str | None:
    """Return the version that the caller has seen: If-Match, else the body's meta.versionId, else None."""
    if header is not None:
        match = _ETAG.fullmatch(header)
        if match is None:
            raise BadRequestError('If-Match is written W/"1"')
        return match.group(1)
    version = body.get("meta", {}).get("versionId") if isinstance(body, dict) else None
    if version is None:
        return None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise BadRequestError("meta.versionId is not a version of this server")
    return version


def accepts_json(accept: str | None) -> None:
    """Raise NotAcceptableError unless FHIR JSON is among what is accepted."""
    if not accept:
        return
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if not kinds & (JSON_FORMATS | {"*/*", "application/*"}):
        raise NotAcceptableError()


def _search(type_: str, given: list[tuple[str, str]], base_url: str, lenient: bool, page_max: int) -> Request:
    own: list[tuple[str, str]] = []
    search: list[Parameter] = []
    ignored: list[str] = []
    kept: list[tuple[str, str]] = []
    for name, value in given:
        if name.partition(":")[0] in _ONCE | {"_include", "_revinclude"}:
            own.append((name, value))
        else:
            try:
                search.append(parameters.parse(type_, name, value, base_url))
            except UnknownParameterError as error:
                # The policy's refused parameters stay an error: ignoring a filter shows more than was meant.
                if not lenient or name.startswith("_"):
                    raise
                ignored.append(error.detail)
                continue
        kept.append((name, value))
    controls = _controls(type_, own, page_max, _ONCE | {"_include", "_revinclude"})
    asked = Interaction("search", type_, parameters=tuple((p.name, p.value) for p in search))
    return Request(asked, tuple(search), controls, tuple(kept), tuple(ignored))


def _controls(type_: str, given: list[tuple[str, str]], page_max: int, allowed: frozenset[str]) -> Controls:
    names = [name for name, _ in given]
    for name in names:
        if name.partition(":")[0] not in allowed:
            raise UnknownParameterError(name if name.isascii() and name.isprintable() else "")
        if name in _ONCE and names.count(name) > 1:
            raise BadRequestError(f"{name} is given more than once")
    once = dict(given)
    return Controls(
        count=min(_number(once["_count"], "_count", 1_000_000), page_max) if "_count" in once else None,
        offset=_number(once["_offset"], "_offset", MOST_OFFSET) if "_offset" in once else 0,
        sort=_sort(type_, once["_sort"]) if "_sort" in once else None,
        total=_one_of(once.get("_total"), "_total", ("none", "estimate", "accurate")),
        summary=_one_of(once.get("_summary"), "_summary", ("true", "false", "text", "data", "count")),
        elements=_elements(once.get("_elements")),
        includes=tuple(_include(type_, n, v) for n, v in given if n.startswith(("_include", "_revinclude"))),
        since=once.get("_since"),
    )


def _include(type_: str, name: str, value: str) -> Include:
    base, _, modifier = name.partition(":")
    match = _INCLUDE.fullmatch(value)
    if match is None or modifier not in ("", "iterate") or base not in ("_include", "_revinclude"):
        raise UnknownParameterError(base)
    source, parameter, target = match.groups()
    row = parameters.TABLE.get(source, {}).get(parameter)
    reverse = base == "_revinclude"
    if row is None or row["type"] != "reference" or (target and target not in row["targets"]):
        raise UnknownParameterError(f"{base}={source}:{parameter}")
    if not modifier and ((source != type_) if not reverse else (type_ not in row["targets"])):
        raise UnknownParameterError(f"{base}={source}:{parameter}")
    return Include(source, parameter, target, reverse, bool(modifier))


def _sort(type_: str, value: str) -> str:
    if not all(part.removeprefix("-") in parameters.sortable(type_) for part in value.split(",")):
        raise UnknownParameterError("_sort")
    return value


def _elements(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    if not all(_ELEMENT.fullmatch(part) for part in value.split(",")):
        raise BadRequestError("_elements names elements of the resource")
    return tuple(value.split(","))


def _number(value: str, name: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII) or int(value) > most:
        raise BadRequestError(f"{name} is not a number that is allowed")
    return int(value)


def _one_of(value: str | None, name: str, allowed: tuple[str, ...]) -> str | None:
    if value is not None and value not in allowed:
        raise BadRequestError(f"{name} is one of {', '.join(allowed)}")
    return value


def _without_format(given: Pairs) -> list[tuple[str, str]]:
    kept = []
    for name, value in given:
        if name == "_format":
            if value.partition(";")[0].strip().lower() not in JSON_FORMATS:
                raise NotAcceptableError()
        elif name != "_pretty":
            kept.append((name, value))
    return kept


def _known(type_: str) -> str:
    if type_ not in parameters.TABLE:
        raise NotFoundError()
    return type_


def _id(id_: str) -> str:
    if not ID.fullmatch(id_) or id_ in (".", ".."):
        raise NotFoundError()
    return id_


def _nothing(given: Pairs) -> None:
    if given:
        raise UnknownParameterError("this request takes no parameters")
