"""Guessing at passwords, codes and addresses costs the one who guesses, and nobody else."""

import time
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import event
from starlette.applications import Starlette

from smart_auth import users
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    ORIGIN,
    PASSWORD,
    csrf_of,
    new_browser,
    new_user,
)
from tests.smart_auth.test_assertion import back_end, claims, key, old_memory, post, sign  # noqa: F401
from tests.smart_auth.test_routes_registration import APP

pytestmark = pytest.mark.server


async def test_wrong_codes_of_others_keep_nobody_from_an_invitation_or_the_set_up(
    auth: SMARTAuth, app: Starlette, browser: httpx.AsyncClient
) -> None:
    invitation = users.create(auth.database, "demo-nurse", "nurse")
    setup = users.bootstrap(auth.database)
    secret = {"password": PASSWORD, "password_again": PASSWORD}
    for number in range(2 * auth.settings.lock_after):
        async with new_browser(app) as stranger:
            form = secret | {"csrf": csrf_of(await stranger.get("/auth/setup")), "username": "x-admin"}
            there = {"X-Forwarded-For": f"198.51.100.{number}"}
            for path in (f"/auth/invite/wrong-{number}", "/auth/setup"):
                wrong = await stranger.post(path, data=form | {"code": f"w{number}"}, headers=there)
                assert wrong.status_code == 422
    csrf = csrf_of(await browser.get("/auth/setup"))
    path = f"/auth/invite/{invitation.code}"
    assert (await browser.post(path, data=secret | {"csrf": csrf})).status_code == 200
    first = secret | {"csrf": csrf, "code": setup, "username": "demo-admin"}
    assert (await browser.post("/auth/setup", data=first)).status_code == 200


async def test_one_code_and_one_address_are_not_tried_for_ever(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    form = {"csrf": csrf_of(await browser.get("/auth/setup")), "password": "x", "password_again": "x"}
    seen = [(await browser.post("/auth/setup", data=form | {"code": "same"})).status_code for _ in range(5)]
    assert seen[-1] == 429
    seen = [
        (await browser.post("/auth/setup", data=form | {"code": f"c{number}"})).status_code
        for number in range(20)
    ]
    assert seen[-1] == 429


async def test_a_wrong_set_up_code_costs_no_hash(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.bootstrap(auth.database)
    hashed: list[str] = []
    monkeypatch.setattr("smart_auth.users.hash_password", lambda text: hashed.append(text) or "")
    form = {"csrf": csrf_of(await browser.get("/auth/setup")), "code": "wrong", "username": "demo-admin"}
    form |= {"password": PASSWORD, "password_again": PASSWORD}
    assert (await browser.post("/auth/setup", data=form)).status_code == 422
    assert hashed == []


@pytest.fixture
def statements(auth: SMARTAuth) -> Iterator[list[str]]:
    """Every SQL statement, as it is sent."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    engine = auth.database._engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


async def test_an_unknown_name_and_a_wrong_password_ask_the_database_the_same(
    auth: SMARTAuth, browser: httpx.AsyncClient, statements: list[str]
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await auth.in_thread(auth.feed.stop)  # its own questions come at any moment
    asked = {}
    for number, name in enumerate(("demo-doctor", "demo-nobody")):
        page = await browser.get("/auth/login")
        auth.feed.refresh()
        statements.clear()
        form = {"csrf": csrf_of(page), "username": name, "password": "not the password"}
        headers = {"Origin": ORIGIN, "X-Forwarded-For": f"198.51.100.{number}"}
        assert (await browser.post("/auth/login", data=form, headers=headers)).status_code == 401
        asked[name] = list(statements)
    assert asked["demo-doctor"] == asked["demo-nobody"] != []


async def test_many_addresses_at_one_account_and_one_address_at_many_accounts_are_locked(
    auth: SMARTAuth, app: Starlette
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    clock, wait = time.time(), auth.settings.lock_s + 1
    auth.throttle._clock = lambda: clock

    async def wrong(name: str, address: str) -> int:
        async with new_browser(app) as stranger:
            body = {"username": name, "password": "not the password"}
            headers = {"X-Forwarded-For": address, "Origin": ORIGIN}
            return (await stranger.post("/auth/login", json=body, headers=headers)).status_code

    for number in range(auth.settings.lock_after):
        assert await wrong("demo-doctor", f"198.51.100.{number}") == 401
        clock += wait
    clock -= wait
    assert await wrong("demo-doctor", "203.0.113.9") == 429
    for number in range(5 * auth.settings.lock_after):
        assert await wrong(f"demo-{number}", "203.0.113.50") == 401
        clock += wait
    clock -= wait
    assert await wrong("demo-somebody-else", "203.0.113.50") == 429


async def test_an_ipv6_network_registers_as_one_address(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    seen = []
    for number in range(auth.settings.registrations_per_hour + 1):
        headers = {"X-Forwarded-For": f"2001:db8:0:1::{number:x}"}
        seen.append((await browser.post("/auth/register", json=APP, headers=headers)).status_code)
    assert seen == [201] * auth.settings.registrations_per_hour + [429]
