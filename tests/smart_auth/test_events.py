"""What the trail is told of a login and of tokens: the role, and the `jti` that later requests carry."""

import httpx
import pytest
from joserfc.jwk import ECKey

from smart_auth.events import Agent
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import ORIGIN, Flow, Recorder, bearer, log_in, new_user
from tests.smart_auth.test_assertion import back_end, claims, key, old_memory, post, sign  # noqa: F401

pytestmark = pytest.mark.server
ADDRESS = "192.0.2.1"


async def test_login_token_refresh_revocation_and_logout_carry_role_and_jti(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    user = new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    first = await flow.tokens("demo-doctor")
    second = (await flow.refresh(first["refresh_token"])).json()
    revoked = {"token": second["access_token"], "client_id": "demo-app"}
    assert (await browser.post("/auth/revoke", data=revoked)).status_code == 200
    revoked = {"token": second["refresh_token"], "client_id": "demo-app"}
    assert (await browser.post("/auth/revoke", data=revoked)).status_code == 200
    csrf = (await browser.get("/auth/me")).json()["csrf"]
    (session,) = await auth.sessions.of(user)
    await browser.post("/auth/logout", headers={"Origin": ORIGIN, "X-CSRF-Token": csrf})
    sid = session.session.sid
    jtis = [auth.verifier._checked(token["access_token"]).principal.jti for token in (first, second)]
    told = list(zip((kind for kind, _ in recorder.kinds()), recorder.agents, strict=True))
    assert told == [
        ("login", Agent(user, "doctor", None, sid, ADDRESS)),
        ("token", Agent(user, "doctor", "demo-app", jtis[0], ADDRESS)),
        ("token", Agent(user, "doctor", "demo-app", jtis[1], ADDRESS)),
        ("revoke", Agent(user, "doctor", "demo-app", jtis[1], ADDRESS)),
        ("revoke", Agent(user, "doctor", "demo-app", None, ADDRESS)),
        ("logout", Agent(user, "doctor", None, sid, ADDRESS)),
    ]


async def test_a_logout_by_token_and_a_failed_login_carry_the_role(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    user = new_user(auth, "demo-nurse", "nurse")
    token = await Flow(browser).tokens("demo-nurse")
    browser.cookies.clear()
    await browser.post("/auth/logout", headers=bearer(token))
    jti = auth.verifier._checked(token["access_token"]).principal.jti
    assert recorder.agents[-1] == Agent(user, "nurse", "demo-app", jti, ADDRESS)
    await log_in(browser, "demo-nurse", "not the password")
    assert recorder.agents[-1] == Agent(user, "nurse", None, None, ADDRESS)
    await log_in(browser, "demo-nobody", "not the password")
    assert recorder.agents[-1] == Agent(address=ADDRESS)


async def test_a_second_use_names_the_person_whose_tokens_end(
    auth: SMARTAuth, browser: httpx.AsyncClient, recorder: Recorder
) -> None:
    user = new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    token = await flow.tokens("demo-doctor")
    for _ in range(2):
        await flow.refresh(token["refresh_token"])
    assert (recorder.kinds()[-1][0], recorder.agents[-1].role) == ("reuse", "doctor")
    assert recorder.agents[-1].user == user


@pytest.mark.usefixtures("back_end", "old_memory")
async def test_a_back_ends_token_carries_its_role_and_jti(
    auth: SMARTAuth,
    browser: httpx.AsyncClient,
    key: ECKey,  # noqa: F811
    recorder: Recorder,
) -> None:
    token = (await post(browser, sign(key, claims()), "system/Patient.rs")).json()
    principal = auth.verifier.verify(token["access_token"])
    assert recorder.agents[-1] == Agent(None, "external", "partner-backend", principal.jti, ADDRESS)


async def test_what_an_administrator_does_carries_role_and_session(
    auth: SMARTAuth, admin: httpx.AsyncClient, admin_id: str, recorder: Recorder
) -> None:
    await admin.post("/auth/admin/users", json={"username": "demo-rad", "role": "rib"})
    (session,) = await auth.sessions.of(admin_id)
    assert recorder.kinds()[-1] == ("role-granted", "success")
    assert (recorder.agents[-1].role, recorder.agents[-1].jti) == ("admin", session.session.sid)
