"""Introspection: what a token is good for, told to registered resource servers and nobody else."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from smart_auth import clients, users
from smart_auth.models import Client, GrantFamily
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import AUDIENCE, REDIRECT, Flow, Recorder, bearer, new_user
from tests.smart_auth.test_assertion import claims, key, old_memory, post, sign  # noqa: F401 - fixtures

pytestmark = pytest.mark.server


@pytest.fixture
def server(auth: SMARTAuth) -> httpx.BasicAuth:
    """A resource server with the right to ask."""
    secret = clients.register(
        auth.database,
        "resource-server",
        kind="confidential",
        name="Resource server",
        scope="introspection",
        redirect_uris=[REDIRECT],
    )
    auth.feed.refresh()
    return httpx.BasicAuth("resource-server", secret or "")


@pytest.fixture
async def token(auth: SMARTAuth, browser: httpx.AsyncClient) -> dict[str, Any]:
    new_user(auth, "demo-doctor", "doctor", fhir_user="Practitioner/d1")
    return await Flow(browser).tokens("demo-doctor")


async def ask(browser: httpx.AsyncClient, token: str, **options: Any) -> httpx.Response:
    return await browser.post("/auth/introspect", data={"token": token}, **options)


async def test_an_active_token_is_described_with_its_context(
    auth: SMARTAuth,
    browser: httpx.AsyncClient,
    server: httpx.BasicAuth,
    token: dict[str, Any],
    recorder: Recorder,
) -> None:
    with auth.database.write() as session:
        launch = json.dumps({"intent": "review", "need_patient_banner": True, "sub": "forged"})
        session.execute(update(GrantFamily).values(encounter="e1", launch=launch))
    answer = await ask(browser, token["access_token"], auth=server)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    user = users.find(auth.database, "demo-doctor")
    assert user is not None
    assert body["active"] is True
    assert (body["client_id"], body["sub"], body["encounter"]) == ("demo-app", user.id, "e1")
    assert set(body["scope"].split()) == set(token["scope"].split())
    assert body["fhirUser"] == f"{AUDIENCE}/Practitioner/d1"
    assert body["exp"] - body["iat"] == token["expires_in"]
    assert (body["intent"], body["need_patient_banner"]) == ("review", True)
    assert "uid" not in body
    assert recorder.events[-1][:4] == ("introspect", user.id, "resource-server", "success")


async def test_a_patients_token_names_the_patient(
    auth: SMARTAuth, browser: httpx.AsyncClient, server: httpx.BasicAuth
) -> None:
    new_user(auth, "demo-patient", "patient")
    scope = {"scope": "openid fhirUser patient/*.rs launch/patient"}
    token = await Flow(browser, parameters=scope).tokens("demo-patient")
    assert (await ask(browser, token["access_token"], auth=server)).json()["patient"] == "own"


async def test_what_is_not_a_living_access_token_of_ours_is_inactive_and_nothing_else(
    auth: SMARTAuth, browser: httpx.AsyncClient, server: httpx.BasicAuth, token: dict[str, Any]
) -> None:
    for other in ("unknown", "a.b.c", token["refresh_token"], token["id_token"], token["access_token"] + "x"):
        assert (await ask(browser, other, auth=server)).json() == {"active": False}
    await browser.post("/auth/revoke", data={"token": token["refresh_token"], "client_id": "demo-app"})
    auth.feed.refresh()
    assert (await ask(browser, token["access_token"], auth=server)).json() == {"active": False}


async def test_strangers_learn_nothing(
    auth: SMARTAuth, browser: httpx.AsyncClient, server: httpx.BasicAuth, token: dict[str, Any]
) -> None:
    assert (await ask(browser, token["access_token"])).status_code == 401
    wrong = httpx.BasicAuth("resource-server", "wrong")
    assert (await ask(browser, token["access_token"], auth=wrong)).status_code == 401
    other = clients.register(
        auth.database,
        "other-server",
        kind="confidential",
        name="Other",
        scope="user/*.cruds",
        redirect_uris=[REDIRECT],
    )
    for options in (
        {"auth": httpx.BasicAuth("other-server", other or "")},
        {"headers": bearer(token)},
    ):
        refused = await ask(browser, token["access_token"], **options)
        assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
    nobody = {"token": token["access_token"], "client_id": "demo-app"}
    assert (await browser.post("/auth/introspect", data=nobody)).status_code == 403
    # A client without a secret proves nothing, whatever its row in the database says.
    with auth.database.write() as session:
        session.get_one(Client, "demo-app").scope += " introspection"
    assert (await browser.post("/auth/introspect", data=nobody)).status_code == 403
    clients.set_disabled(auth.database, "resource-server", disabled=True)
    assert (await ask(browser, token["access_token"], auth=server)).status_code == 401


async def test_a_back_end_may_ask_with_a_bearer_token(
    auth: SMARTAuth,
    browser: httpx.AsyncClient,
    key: Any,  # noqa: F811
    old_memory: None,  # noqa: F811
    token: dict[str, Any],
) -> None:
    clients.register(
        auth.database,
        "partner-backend",
        kind="backend",
        name="Gateway",
        scope="introspection system/Patient.rs",
        jwks={"keys": [key.as_dict(private=False)]},
        role="doctor",
    )
    auth.feed.refresh()
    with_right = (await post(browser, sign(key, claims()), "introspection")).json()
    assert with_right["scope"] == "introspection"
    answer = await ask(browser, token["access_token"], headers=bearer(with_right))
    assert answer.json()["active"] is True
    without = (await post(browser, sign(key, claims()), "system/Patient.rs")).json()
    assert (await ask(browser, token["access_token"], headers=bearer(without))).status_code == 403
    # The right alone opens no record: its token has no clinical scope.
    assert not auth.verifier.verify(with_right["access_token"]).scopes.grants
    clients.change(auth.database, "partner-backend", scope="system/Patient.rs")
    assert (await ask(browser, token["access_token"], headers=bearer(with_right))).status_code == 403
