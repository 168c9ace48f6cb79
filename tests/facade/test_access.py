"""Whose address the trail records."""

from starlette.requests import HTTPConnection

from facade.access import address


def connection(**headers: str) -> HTTPConnection:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw})


def test_the_address_is_the_one_that_nginx_wrote() -> None:
    assert address(connection(x_forwarded_for="127.0.0.1")) == "127.0.0.1"


def test_a_header_that_nginx_passes_through_says_nothing() -> None:
    assert address(connection(x_real_ip="203.0.113.9", x_forwarded_for="127.0.0.1")) == "127.0.0.1"
    assert address(connection(x_real_ip="203.0.113.9")) is None
