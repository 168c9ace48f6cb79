"""An app registers itself, can do nothing, and is approved by an administrator."""

from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey
from sqlalchemy import update

from smart_auth import clients
from smart_auth.models import Client
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import REDIRECT, Flow, Recorder, new_user

pytestmark = pytest.mark.server
KEY = ECKey.generate_key("P-384", {"kid": "k1", "alg": "ES384"})
JWKS = {"keys": [KEY.as_dict(private=False)]}
APP: dict[str, Any] = {
    "client_name": "Registered App",
    "redirect_uris": [REDIRECT],
    "token_endpoint_auth_method": "none",
    "scope": "openid fhirUser user/Patient.rs user/Observation.rs",
}
BACK_END: dict[str, Any] = {
    "client_name": "Back end",
    "token_endpoint_auth_method": "private_key_jwt",
    "grant_types": ["client_credentials"],
    "scope": "system/Patient.rs",
    "jwks": JWKS,
}


async def register(browser: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    metadata = {name: value for name, value in (APP | changes).items() if value is not None}
    return await browser.post("/auth/register", json=metadata)


async def test_a_registered_app_can_do_nothing_until_it_is_approved(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, recorder: Recorder
) -> None:
    answer = await register(
        browser,
        token_endpoint_auth_method="client_secret_basic",
        post_logout_redirect_uris=["https://app.example/bye"],
        launch_uri="https://app.example/launch",
        contacts=["it@app.example"],
        logo_uri="https://app.example/logo.png",
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["status"] == "pending"
    assert body["post_logout_redirect_uris"] == ["https://app.example/bye"]
    assert body["client_secret_expires_at"] == 0
    assert "logo_uri" not in body
    assert recorder.events[-1][:4] == ("client-registered", None, body["client_id"], "success")
    client_id, secret = body["client_id"], body["client_secret"]
    flow = Flow(browser, client_id=client_id, parameters={"scope": APP["scope"]})
    assert (await flow.authorize()).status_code == 400
    basic = httpx.BasicAuth(client_id, secret)
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    for path in ("/auth/token", "/auth/revoke"):
        refused = await browser.post(path, data=form | {"token": "x"}, auth=basic)
        assert refused.json()["error"] == "invalid_client", path
    with pytest.raises(clients.RuleError):
        clients.set_disabled(auth.database, client_id, disabled=False)

    listed = (await admin.get("/auth/admin/clients")).json()["clients"]
    waiting = [client for client in listed if client["status"] == "pending"]
    assert [client["client_id"] for client in waiting] == [client_id]
    assert secret not in str(listed)
    assert "hash" not in str(listed)
    path = f"/auth/admin/clients/{client_id}/approve"
    chosen = {"scope": "openid fhirUser user/Patient.rs", "trusted": True}
    approved = await admin.post(path, json=chosen)
    assert (approved.status_code, approved.json()["status"]) == (200, "active"), approved.text
    at = recorder.kinds().index(("client-approved", "success"))
    assert recorder.details[at] == {"target": client_id}
    assert (await admin.post(path, json=chosen)).status_code == 422
    auth.feed.refresh()
    new_user(auth, "demo-doctor", "doctor")
    answer_ = await flow.answer("demo-doctor")
    redeemed = await browser.post(
        "/auth/token",
        data={
            "grant_type": "authorization_code",
            "code": answer_["code"],
            "redirect_uri": REDIRECT,
            "code_verifier": flow.verifier,
        },
        auth=basic,
    )
    assert redeemed.status_code == 200, redeemed.text
    assert redeemed.json()["scope"] == "openid fhirUser user/Patient.rs", "the ceiling of the approval"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": None}, "invalid_client_metadata"),
        ({"redirect_uris": "https://app.example/cb"}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/cb#f"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://user@app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://*.app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/*"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example:99999/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["myapp://cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [REDIRECT] * 21}, "invalid_client_metadata"),
        ({"post_logout_redirect_uris": ["http://app.example/"]}, "invalid_client_metadata"),
        ({"launch_uri": "javascript:alert(1)"}, "invalid_client_metadata"),
        ({"cors_origins": ["https://app.example/path"]}, "invalid_client_metadata"),
        ({"cors_origins": ["*"]}, "invalid_client_metadata"),
        ({"cors_origins": ["null"]}, "invalid_client_metadata"),
        ({"scope": "admin"}, "invalid_client_metadata"),
        ({"scope": None}, "invalid_client_metadata"),
        ({"scope": "openid introspection"}, "invalid_client_metadata"),
        ({"scope": "openid system/Patient.rs"}, "invalid_client_metadata"),
        ({"scope": "user/Patient.rs?name=x"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": ["none"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"jwks": JWKS}, "invalid_client_metadata"),
        ({"grant_types": ["password"]}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"software_statement": "x.y.z"}, "invalid_software_statement"),
        ({"client_name": "x" * 300}, "invalid_client_metadata"),
        ({"client_name": "two\nlines"}, "invalid_client_metadata"),
        (BACK_END | {"redirect_uris": None, "jwks": None}, "invalid_client_metadata"),
        (BACK_END | {"redirect_uris": None, "scope": "user/Patient.rs"}, "invalid_client_metadata"),
        (
            BACK_END | {"redirect_uris": None, "jwks": None, "jwks_uri": "http://127.0.0.1/k"},
            "invalid_client_metadata",
        ),
        (
            BACK_END | {"redirect_uris": None, "jwks": {"keys": [KEY.as_dict(private=True)]}},
            "invalid_client_metadata",
        ),
    ],
)
async def test_dangerous_registrations_are_refused(
    auth: SMARTAuth, browser: httpx.AsyncClient, changes: dict[str, Any], error: str
) -> None:
    answer = await register(browser, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
    assert [client.id for client in clients.listed(auth.database)] == ["demo-app"]


async def test_a_back_end_gets_its_role_at_the_approval(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    answer = await browser.post("/auth/register", json=BACK_END)
    assert answer.status_code == 201, answer.text
    assert "client_secret" not in answer.json()
    path = f"/auth/admin/clients/{answer.json()['client_id']}/approve"
    for wrong in ({}, {"role": "patient"}, {"role": "external"}, {"role": 1}, {"other": "x"}):
        assert (await admin.post(path, json=wrong)).status_code in (400, 422)
    assert (await admin.post(path, json={"role": "doctor"})).status_code == 200


async def test_bodies_and_addresses_are_limited(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    big = await browser.post("/auth/register", json=APP | {"x": "y" * 70000})
    assert big.status_code == 413
    wrong = await browser.post("/auth/register", content=b"{}", headers={"content-type": "text/plain"})
    assert wrong.json()["error"] == "invalid_client_metadata"
    answers = [await register(browser) for _ in range(auth.settings.registrations_per_hour)]
    assert [answer.status_code for answer in answers].count(429) == 2
    assert (await register(browser)).json()["error"] == "slow_down"
    other = await browser.post("/auth/register", json=APP, headers={"X-Forwarded-For": "192.0.2.77"})
    assert other.status_code == 201, "another address is not held up"


async def test_no_more_registrations_wait_than_a_setting_allows(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    for number in range(auth.settings.registrations_pending):
        clients.register(
            auth.database,
            f"waiting-{number}",
            kind="public",
            name="W",
            scope="openid",
            redirect_uris=[REDIRECT],
            pending=True,
        )
    assert (await register(browser)).status_code == 503
    with auth.database.write() as session:
        session.execute(update(Client).where(Client.status == "pending").values(created_at=0))
    assert (await register(browser)).status_code == 201, "what nobody approves is forgotten"
    assert len(clients.listed(auth.database)) == 2


async def test_an_administrator_changes_disables_and_rejects(
    auth: SMARTAuth, browser: httpx.AsyncClient, admin: httpx.AsyncClient, recorder: Recorder
) -> None:
    client_id = (await register(browser)).json()["client_id"]
    path = f"/auth/admin/clients/{client_id}"
    changed = await admin.patch(path, json={"cors_origins": ["https://app.example"]})
    assert changed.json()["cors_origins"] == ["https://app.example"]
    assert recorder.details[-1] == {"target": client_id, "change": "cors_origins"}
    for wrong in ({"kind": "backend"}, {"status": "active"}, {"cors_origins": [1]}, {"role": "admin"}, {}):
        answer = await admin.patch(path, json=wrong)
        assert answer.status_code in (400, 422), wrong
    assert (await admin.patch(path, json={"disabled": False})).status_code == 422
    assert (await admin.delete(path)).status_code == 204
    assert recorder.details[-1] == {"target": client_id, "change": "reject"}
    assert (await admin.delete(path)).status_code == 422
    await admin.patch("/auth/admin/clients/demo-app", json={"disabled": True})
    auth.feed.refresh()
    (left,) = (await admin.get("/auth/admin/clients")).json()["clients"]
    assert (left["client_id"], left["status"]) == ("demo-app", "disabled")
