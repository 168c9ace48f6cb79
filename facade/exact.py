"""JSON in which decimals keep their digits: `12.50` stays `12.50`.

FHIR R4 datatypes.html, decimal: "the precision of the decimal value has significance"; a float has none.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from facade.errors import BadRequestError

DEEPEST = 100
_DIGITS = 15
_LONGEST = 100


def loads(text: bytes) -> Any:
    """Read JSON of our own store."""
    return json.loads(text, parse_float=Decimal, parse_int=_stored_integer)


def loads_strict(text: bytes) -> dict[str, Any]:
    """Read a client's JSON object: no duplicate names, no NaN, no number out of reach, not too deep."""
    body = values_strict(text)
    if not isinstance(body, dict):
        raise BadRequestError("the body is not a resource")
    return body


def values_strict(text: bytes) -> Any:
    """Read a client's JSON of any kind, as strictly."""
    try:
        body = json.loads(
            text.decode(),
            parse_float=_number,
            parse_int=_integer,
            parse_constant=_no_constant,
            object_pairs_hook=_unique,
        )
        # What cannot be written again (half a surrogate pair, an integer over 64 bits) is not taken.
        dumps(body)
    except (ValueError, TypeError, RecursionError):
        raise BadRequestError("the body is not JSON") from None
    if depth(body) > DEEPEST:
        raise BadRequestError("the body is too deep")
    return body


def dumps(value: Any) -> bytes:
    """Write JSON."""
    return orjson.dumps(value, default=_decimal)


def plain(value: Any) -> Any:
    """Return the value with floats in the place of decimals, for libraries that know floats only."""
    return orjson.loads(dumps(value))


def _decimal(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(type(value).__name__)


def _stored_integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _DIGITS else Decimal(text)


def _integer(text: str) -> int | Decimal:
    """An integer of FHIR has 32 bits; a longer one can only be a decimal without a point."""
    return int(text) if len(text) <= _DIGITS else _number(text)


def _number(text: str) -> Decimal:
    value = Decimal(text)
    # Beyond this no other program on the way reads the same number (IEEE 754 double: 1e308).
    if len(text) > _LONGEST or (value and not -300 < value.adjusted() < 300):
        raise ValueError("number out of reach")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items):
        # Which of two equal names counts differs between parsers; here and in HAPI it must not.
        raise ValueError("duplicate name")
    return found


def depth(value: Any) -> int:
    """Return how deep objects and arrays are nested."""
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest
