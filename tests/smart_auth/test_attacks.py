"""Attacks that go across parts: broken input, races of what was taken away, others' throttles, growth."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from sqlalchemy import event, func, select, update
from starlette.applications import Starlette

from smart_auth import clients, passwords, retention, users
from smart_auth.errors import InvalidTokenError
from smart_auth.models import Base, GrantFamily, Link, RefreshToken
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    ORIGIN,
    PASSWORD,
    REDIRECT,
    SCOPE,
    Flow,
    csrf_of,
    form_of,
    log_in,
    new_browser,
    new_user,
    send,
    step_of,
)
from tests.smart_auth.test_assertion import back_end, claims, key, old_memory, post, sign  # noqa: F401
from tests.smart_auth.test_routes_registration import APP

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


@pytest.mark.usefixtures("back_end", "old_memory")
@pytest.mark.parametrize("change", ["disabled", "narrower", "another role"])
async def test_a_back_ends_token_does_not_outlive_what_it_was_registered_for(
    auth: SMARTAuth,
    browser: httpx.AsyncClient,
    key: ECKey,  # noqa: F811
    change: str,
) -> None:
    before = (await post(browser, sign(key, claims()), "system/Patient.rs")).json()["access_token"]
    auth.verifier.verify(before)
    if change == "disabled":
        clients.set_disabled(auth.database, "partner-backend", disabled=True)
        clients.set_disabled(auth.database, "partner-backend", disabled=False)
    elif change == "narrower":
        clients.change(auth.database, "partner-backend", scope="system/Patient.r")
    else:
        clients.change(auth.database, "partner-backend", organization="another")
    auth.feed.refresh()
    with pytest.raises(InvalidTokenError):
        auth.verifier.verify(before)
    after = (await post(browser, sign(key, claims()), "system/Patient.rs")).json()["access_token"]
    auth.verifier.verify(after)


async def test_a_used_refresh_token_ends_its_family_whatever_it_asks_for(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser, parameters={"scope": "offline_access user/Patient.rs"})
    first = await flow.tokens("demo-doctor")
    second = (await flow.refresh(first["refresh_token"])).json()
    stolen = await flow.refresh(first["refresh_token"], scope="user/*.cruds")
    assert stolen.json()["error"] == "invalid_grant"
    assert (await flow.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_code_is_cut_to_a_ceiling_that_became_lower(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser, parameters={"scope": "openid user/Patient.rs user/Task.rs"})
    code = (await flow.answer("demo-doctor"))["code"]
    clients.change(auth.database, "demo-app", scope="openid user/Task.rs")
    auth.feed.refresh()
    token = (await flow.redeem(code)).json()
    assert set(token["scope"].split()) == {"openid", "user/Task.rs"}
    assert str(auth.verifier.verify(token["access_token"]).scopes) == "openid user/Task.rs"


async def test_a_redirect_address_that_was_taken_away_meanwhile_gets_no_code(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    flow = Flow(browser, parameters={"prompt": "login"})
    page = await flow.authorize()
    clients.change(auth.database, "demo-app", redirect_uris=["https://app.example/cb"])
    request_id = page.headers["location"].partition("request=")[2]
    await log_in(browser, "demo-doctor")
    answer = await browser.get(f"/auth/continue?request={request_id}")
    assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    "redirect", ["https://evil.example/cb", "//evil.example", "http://127.0.0.1:9999/CALLBACK"]
)
@pytest.mark.parametrize("wrong", [{}, {"response_type": "token"}, {"state": ""}, {"code_challenge": ""}])
async def test_an_error_is_never_sent_to_an_address_that_is_not_registered(
    browser: httpx.AsyncClient, redirect: str, wrong: dict[str, str]
) -> None:
    answer = await Flow(browser, parameters={"redirect_uri": redirect, **wrong}).authorize()
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_a_state_that_is_too_long_is_not_sent_back(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/auth/authorize", data=Flow(browser).parameters | {"state": "s" * 5000})
    assert "error=invalid_request" in answer.headers["location"]
    assert "state=" not in answer.headers["location"]


def another_app(auth: SMARTAuth, client_id: str, scope: str = SCOPE) -> None:
    """An app that is not the hospital's own."""
    clients.register(
        auth.database, client_id, kind="public", name=client_id, scope=scope, redirect_uris=[REDIRECT]
    )
    auth.feed.refresh()


async def _consent_page(browser: httpx.AsyncClient, flow: Flow) -> httpx.Response:
    page = await flow.authorize()
    while page.has_redirect_location and not page.headers["location"].startswith(REDIRECT):
        page = await browser.get(page.headers["location"])
    return page


async def test_two_apps_in_one_browser_do_not_share_an_answer(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    another_app(auth, "app-a")
    another_app(auth, "app-b")
    flow_a = Flow(browser, "app-a", parameters={"scope": "openid user/Patient.rs"})
    flow_b = Flow(browser, "app-b", parameters={"scope": "openid user/Task.rs"})
    page_a, page_b = await _consent_page(browser, flow_a), await _consent_page(browser, flow_b)
    assert (step_of(page_a), step_of(page_b)) == ("consent", "consent")
    # The switches of one app's page, sent with the other one's request, allow nothing of the first.
    mixed = [*form_of(page_a), ("allow", "1")]
    of_b = dict(form_of(page_b))["request"]
    mixed = [pair if pair[0] != "request" else ("request", of_b) for pair in mixed]
    answer = await send(browser, "consent", mixed)
    code = httpx.URL(answer.headers["location"]).params["code"]
    assert (await flow_a.redeem(code)).json()["error"] == "invalid_grant"
    assert step_of(await _consent_page(browser, flow_a)) == "consent"
    assert "user/Patient.rs" not in json.dumps((await flow_b.tokens("demo-doctor"))["scope"])


async def test_an_app_may_ask_for_as_much_as_a_scope_holds(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    types = "Patient Encounter ServiceRequest ImagingStudy Task DiagnosticReport Observation Condition"
    types += " AllergyIntolerance Procedure DocumentReference MedicationRequest MedicationStatement"
    wanted = " ".join(f"{context}/{type_}.crus" for type_ in types.split() for context in ("user", "patient"))
    new_user(auth, "demo-doctor", "doctor")
    another_app(auth, "big-app", wanted)
    flow = Flow(browser, "big-app", patient="p1", parameters={"scope": wanted})
    assert "access_token" in await flow.tokens("demo-doctor")


async def test_an_ipv6_network_registers_as_one_address(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    seen = []
    for number in range(auth.settings.registrations_per_hour + 1):
        headers = {"X-Forwarded-For": f"2001:db8:0:1::{number:x}"}
        seen.append((await browser.post("/auth/register", json=APP, headers=headers)).status_code)
    assert seen == [201] * auth.settings.registrations_per_hour + [429]


async def test_the_list_of_sessions_forgets_without_being_looked_at(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    user_id = new_user(auth, "demo-doctor", "doctor")
    long_ago = int(time.time()) - auth.settings.session_s - 1
    for number in range(5):
        await auth.store.note(f"sessions:{user_id}", f"old{number}", long_ago, lifetime_s=1000)
    await log_in(browser, "demo-doctor")
    assert len(await auth.store.noted(f"sessions:{user_id}")) == 1


async def test_what_is_over_is_forgotten_and_what_lives_is_kept(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    over, ended = [await flow.tokens("demo-doctor") for _ in range(2)]
    past = int(time.time()) - retention.KEEP_S - 1
    with auth.database.write() as session:
        first, second = session.scalars(select(GrantFamily.id).order_by(GrantFamily.created_at)).all()
        session.execute(update(GrantFamily).where(GrantFamily.id == first).values(expires_at=past))
        session.execute(update(GrantFamily).where(GrantFamily.id == second).values(ended_at=past))
        session.execute(update(Link).values(expires_at=past))
    auth.grants._forgot = float("-inf")
    alive = await flow.tokens("demo-doctor")
    alive = (await flow.refresh(alive["refresh_token"])).json()
    assert _rows(auth, GrantFamily, RefreshToken, Link) == [1, 2, 0]
    for token in (over, ended):
        assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"
    assert "access_token" in (await flow.refresh(alive["refresh_token"])).json()


def _rows(auth: SMARTAuth, *tables: type[Base]) -> list[int]:
    with auth.database.read() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def test_a_password_of_any_characters_is_only_wrong() -> None:
    assert not passwords.verify_password("\x00é한" * 1000, None)


async def test_a_code_is_not_for_another_app_although_the_person_trusts_both(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    clients.register(
        auth.database,
        "other-app",
        kind="public",
        name="O",
        scope=SCOPE,
        redirect_uris=[REDIRECT],
        trusted=True,
    )
    flow = Flow(browser)
    code = (await flow.answer("demo-doctor"))["code"]
    assert (await flow.redeem(code, client_id="other-app")).json()["error"] == "invalid_grant"


async def test_a_second_use_while_the_first_is_under_way_ends_both(
    auth: SMARTAuth, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    code = (await flow.answer("demo-doctor"))["code"]
    answers = []

    async def in_thread(function: Any, *args: Any) -> Any:
        if function.__name__ == "_start_family":
            answers.append(await flow.redeem(code))  # the thief comes before the first use is stored
        return await auth.in_thread(function, *args)

    monkeypatch.setattr(auth.grants, "_in_thread", in_thread)
    answers.append(await flow.redeem(code))
    assert [answer.json().get("error") for answer in answers] == ["invalid_grant", "invalid_grant"]
    assert _rows(auth, GrantFamily) == [1]
    with auth.database.read() as session:
        assert session.scalar(select(GrantFamily.ended_at)) is not None
