"""Cookies of known browsers, and kinds of browsers."""

import pytest

from smart_auth import device, useragent

KEY = b"k" * 32


def test_a_browser_is_known_for_the_user_who_logged_in_there_only() -> None:
    cookie = device.issue(KEY, "demo-doctor")
    assert device.known(KEY, "demo-doctor", cookie)
    assert device.issue(KEY, "demo-doctor") != cookie
    name, _, seal = cookie.partition(".")
    for wrong in (None, "", name, f"{name}.", f"{name}.{seal[:-1]}0x", f"x{cookie}", "é.é"):
        assert device.known(KEY, "demo-doctor", wrong) is None
    assert device.known(KEY, "demo-nurse", cookie) is None
    assert device.known(b"x" * 32, "demo-doctor", cookie) is None


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge, Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari, iPhone",
        ),
        ("python-httpx/0.28", ""),
        (None, ""),
    ],
)
def test_a_browser_is_named_by_kind_without_its_version(header: str | None, kind: str) -> None:
    assert useragent.kind(header) == kind
