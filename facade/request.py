"""Turns an HTTP request into what is asked (`smart_auth.Interaction`) and how the answer is wanted.

Strict: what cannot be read is refused, here and before anything is decided. Percent-decoding happens once.
Sources: FHIR R4 http.html (interactions, content types), search.html (control parameters, paging).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from facade import parameters
from facade.controls import (
    ON_EVERYTHING,
    ON_HISTORY,
    ON_READ,
    ON_SEARCH,
    Controls,
    Pairs,
    controls,
)
from facade.errors import (
    BadRequestError,
    MethodError,
    NotAcceptableError,
    NotFoundError,
    UnknownParameterError,
)
from facade.parameters import ID, Parameter
from smart_auth.interaction import Interaction, Kind

_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,10}", re.ASCII)
MOST_PARAMETERS = 50
JSON_FORMATS = frozenset({"json", "application/json", "application/fhir+json", "text/json"})
# Operations by method and by what they stand on. The rest is refused by name here, and again by the policy.
_ON_INSTANCE = {("POST", "$review"), ("POST", "$sign"), ("GET", "$everything"), ("GET", "$meta")}
_ON_TYPE = {("POST", "$validate")}
EVERYTHING = frozenset({"Patient", "Encounter"})


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
) -> Request:
    """Return what is asked; `query` holds the query string and, for `_search`, the form body."""
    given = _without_format(query)
    asked_method = "GET" if method == "HEAD" else method
    match asked_method, segments(raw_path):
        case _, [*before, name] if name.startswith("$"):
            return _operation(asked_method, before, name, given, page_max)
        case "GET", [type_]:
            return _search(_known(type_), given, base_url, lenient, page_max)
        case "POST", [type_, "_search"]:
            return _search(_known(type_), given, base_url, lenient, page_max)
        case "GET", [type_, "_history"]:
            wanted = controls(_known(type_), given, page_max, ON_HISTORY)
            return Request(Interaction("history-type", type_), controls=wanted, client=tuple(given))
        case "GET", [type_, id_]:
            wanted = controls(_known(type_), given, page_max, ON_READ)
            return Request(Interaction("read", type_, _id(id_)), controls=wanted, client=tuple(given))
        case "GET", [type_, id_, "_history"]:
            wanted = controls(_known(type_), given, page_max, ON_HISTORY)
            asked = Interaction("history-instance", type_, _id(id_))
            return Request(asked, controls=wanted, client=tuple(given))
        case "GET", [type_, id_, "_history", version]:
            wanted = controls(_known(type_), given, page_max, ON_READ)
            if not _VERSION.fullmatch(version):
                raise NotFoundError()
            return Request(Interaction("vread", type_, _id(id_), version), controls=wanted)
        case "POST", [type_]:
            _nothing(given)
            return Request(Interaction("create", _known(type_)))
        case (("PUT" | "PATCH" | "DELETE"), [type_, id_]):
            _nothing(given)
            return Request(Interaction(_WRITES[asked_method], _known(type_), _id(id_)))
        case (("PUT" | "PATCH" | "DELETE"), [type_]) if given:
            # Conditional: the query says which one is meant.
            found = tuple((p.name, p.value) for p in conditions(_known(type_), given, base_url))
            return Request(Interaction(_WRITES[asked_method], type_, parameters=found))
        case "POST", []:
            _nothing(given)
            return Request(Interaction("batch"))
        case _, [type_, *_] if _TYPE.fullmatch(type_):
            raise MethodError()
        case _, []:
            raise MethodError()
    raise NotFoundError()


_WRITES: dict[str, Kind] = {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def methods(raw_path: bytes) -> list[str]:
    """Return the methods of an address, by its shape alone (RFC 9110 section 9.3.7)."""
    match segments(raw_path):
        case []:
            return ["POST", "OPTIONS"]
        case [*before, name] if name.startswith("$"):
            on = _ON_TYPE if len(before) == 1 else _ON_INSTANCE if len(before) == 2 else set()
            found = [method for method, operation in sorted(on) if operation == name]
            if not found:
                raise NotFoundError()
            _known(before[0])
            return [*found, *(["HEAD"] if "GET" in found else []), "OPTIONS"]
        case [type_]:
            _known(type_)
            return ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        case [type_, "_search"]:
            _known(type_)
            return ["POST", "OPTIONS"]
        case [type_, _, "_history", _] | [type_, _, "_history"] | [type_, "_history"]:
            _known(type_)
            return ["GET", "HEAD", "OPTIONS"]
        case [type_, _]:
            _known(type_)
            return ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
    raise NotFoundError()


def criteria(type_: str, text: str, base_url: str) -> tuple[Parameter, ...]:
    """Read If-None-Exist or an inline match URL's query: search parameters of the type and nothing else."""
    return conditions(type_, pairs(text.removeprefix("?").encode("utf-8", "surrogatepass")), base_url)


def conditions(type_: str, given: Pairs, base_url: str) -> tuple[Parameter, ...]:
    """Read what a conditional request has to match, in one order: equal conditions are written alike."""
    if not given:
        raise BadRequestError("the condition is empty")
    found = tuple(parameters.parse(type_, name, value, base_url) for name, value in sorted(given))
    if any(parameter.chain for parameter in found):
        raise UnknownParameterError("a condition has no chains")
    return found


def accepts_json(accept: str | None) -> None:
    """Raise NotAcceptableError unless FHIR JSON is among what is accepted."""
    if not accept:
        return
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if not kinds & (JSON_FORMATS | {"*/*", "application/*"}):
        raise NotAcceptableError()


def _operation(
    method: str, before: list[str], name: str, given: list[tuple[str, str]], page_max: int
) -> Request:
    match before:
        case [type_] if (method, name) in _ON_TYPE:
            _nothing(given)
            return Request(Interaction("operation", _known(type_), operation=name))
        case [type_, id_] if (method, name) in _ON_INSTANCE:
            asked = Interaction("operation", _known(type_), _id(id_), operation=name)
            if name != "$everything":
                _nothing(given)
                return Request(asked)
            if type_ in EVERYTHING:
                wanted = controls(type_, given, page_max, ON_EVERYTHING)
                return Request(asked, controls=wanted, client=tuple(given))
    raise MethodError("this operation is not offered")


def _search(type_: str, given: list[tuple[str, str]], base_url: str, lenient: bool, page_max: int) -> Request:
    own: list[tuple[str, str]] = []
    search: list[Parameter] = []
    ignored: list[str] = []
    kept: list[tuple[str, str]] = []
    for name, value in given:
        if name.partition(":")[0] in ON_SEARCH:
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
    wanted = controls(type_, own, page_max, ON_SEARCH)
    asked = Interaction("search", type_, parameters=tuple((p.name, p.value) for p in search))
    return Request(asked, tuple(search), wanted, tuple(kept), tuple(ignored))


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
