"""JSON: decimals keep their digits, and a client's text means one thing only."""

import pytest

from facade import exact
from facade.errors import BadRequestError


@pytest.mark.parametrize(
    "text", [b'{"a":1.50}', b'{"a":[0.1,{"b":-2.00}]}', b'{"a":"x","b":true,"c":null,"d":7}']
)
def test_there_and_back(text: bytes) -> None:
    assert exact.dumps(exact.loads(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"",
            b"[]",
            b"null",
            b'{"a":1,"a":2}',
            b'{"a":NaN}',
            b'{"a":Infinity}',
            b'{"a":',
            b"\xff",
            b'{"a":1}x',
        ),
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b'{"a":' * 200_000,
    ],
)
def test_what_two_parsers_could_read_in_two_ways_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequestError):
        exact.loads_strict(text)


def test_a_number_out_of_reach_is_refused_and_a_long_one_keeps_its_digits() -> None:
    for number in ("1e400", "1e-4000", "9" * 5000, "-" + "9" * 400):
        with pytest.raises(BadRequestError):
            exact.loads_strict(b'{"a":' + number.encode() + b"}")
    long = b'{"a":' + b"9" * 90 + b"}"
    assert exact.dumps(exact.loads_strict(long)) == long
    assert exact.dumps(exact.loads(long)) == long, "what is stored already can be read"
