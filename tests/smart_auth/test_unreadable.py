"""What cannot be read proves nobody and breaks nothing."""

import base64
import json
from typing import Any

import httpx
import pytest

from smart_auth import passwords
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    ORIGIN,
)
from tests.smart_auth.test_assertion import back_end, claims, key, old_memory, post, sign  # noqa: F401

pytestmark = pytest.mark.server


def part(value: Any) -> str:
    """One part of a compact JWS."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


BROKEN_JSON = (
    b'{"username": "\\ud800", "password": "\\ud800"}',
    b"[" * 60000,
    b'{"a":' * 10000,
    b"\xff",
    b"",
)


@pytest.mark.parametrize("path", ["/auth/login", "/auth/register"])
@pytest.mark.parametrize("body", BROKEN_JSON)
async def test_json_that_cannot_be_text_is_refused(
    auth: SMARTAuth, browser: httpx.AsyncClient, path: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json", "Origin": ORIGIN}
    assert (await browser.post(path, content=body, headers=headers)).status_code == 400


@pytest.mark.parametrize("credentials", ["Basic é", "Basic ====", "Basic gICA", "Basic", "Negotiate x", "é"])
async def test_credentials_that_cannot_be_read_prove_nobody(
    auth: SMARTAuth, browser: httpx.AsyncClient, credentials: str
) -> None:
    headers = {"Authorization": credentials.encode("latin-1")}
    form = {"grant_type": "client_credentials"}
    assert (await browser.post("/auth/token", data=form, headers=headers)).status_code == 401


HEADERS = (
    {"alg": "ES256", "crit": 1},
    {"alg": "ES256", "crit": [{}]},
    {"alg": ["ES256"]},
    {"alg": None},
    {"alg": "ES256", "kid": {}},
    {"alg": "dir", "enc": "A128GCM"},
    b"[" * 5000,
    b"{" * 5000,
    [],
    1,
)


@pytest.mark.parametrize("header", HEADERS)
async def test_a_token_with_an_unreadable_header_is_no_token(
    auth: SMARTAuth, browser: httpx.AsyncClient, header: Any
) -> None:
    token = f"{part(header)}.{part({'iss': 'x'})}.AAAA"
    answer = await browser.get("/auth/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


@pytest.mark.usefixtures("back_end", "old_memory")
@pytest.mark.parametrize(
    ("header", "payload"),
    [
        *((header, {"iss": "partner-backend"}) for header in HEADERS),
        ({"alg": "ES384"}, b'{"iss": "\\ud800"}'),
    ],
)
async def test_an_unreadable_assertion_proves_nobody(
    browser: httpx.AsyncClient, header: Any, payload: Any
) -> None:
    assert (await post(browser, f"{part(header)}.{part(payload)}.AAAA")).status_code == 401


def test_a_password_of_any_characters_is_only_wrong() -> None:
    assert not passwords.verify_password("\x00é한" * 1000, None)
