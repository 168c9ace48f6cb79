"""Every capability that smart-configuration declares, with the tests that use it through the endpoints."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import ECKey

from smart_auth import clients, discovery
from smart_auth.assertion import ASSERTION_TYPE
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import REDIRECT, Flow, new_user
from tests.smart_auth.test_assertion import claims, old_memory, sign  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
HERE, FLOWS = "tests/smart_auth", "tests/flows"

EHR = f"{HERE}/test_routes_launch.py::test_a_launch_carries_patient_visit_and_the_rest_to_the_app"
TESTS: Mapping[str, Sequence[str]] = {
    "launch-ehr": (EHR, f"{FLOWS}/test_apps_server.py"),
    "launch-standalone": (f"{HERE}/test_pickers.py::test_staff_search_and_choose_a_patient",),
    "authorize-post": (f"{HERE}/test_authorize.py::test_an_authorization_request_by_post_works",),
    "client-public": (f"{HERE}/test_routes_oauth.py::test_the_code_flow_ends_with_a_token_for_the_person",),
    "client-confidential-symmetric": (
        f"{HERE}/test_routes_oauth.py::test_a_confidential_client_needs_its_secret",
    ),
    "client-confidential-asymmetric": (
        f"{HERE}/test_capabilities.py::test_an_app_with_keys_walks_the_code_flow",
        f"{HERE}/test_assertion.py::test_a_back_end_gets_a_short_token_for_its_role_and_organization",
    ),
    "sso-openid-connect": (
        f"{HERE}/test_routes_oauth.py::test_the_id_token_names_the_person_for_this_app_only",
    ),
    "context-banner": (EHR,),
    "context-style": (EHR,),
    "context-ehr-patient": (EHR,),
    "context-ehr-encounter": (EHR,),
    "context-standalone-patient": (f"{HERE}/test_pickers.py::test_staff_search_and_choose_a_patient",),
    "context-standalone-encounter": (
        f"{HERE}/test_pickers.py::test_a_visit_of_the_chosen_patient_is_chosen",
    ),
    "permission-offline": (f"{HERE}/test_capabilities.py::test_offline_access_outlives_the_browser",),
    "permission-online": (f"{HERE}/test_refresh.py::test_online_access_ends_with_the_login",),
    "permission-patient": (f"{HERE}/test_routes_oauth.py::test_staff_choose_a_patient_for_patient_scopes",),
    "permission-user": (f"{HERE}/test_routes_oauth.py::test_the_code_flow_ends_with_a_token_for_the_person",),
    "permission-v1": (f"{HERE}/test_routes_oauth.py::test_a_v1_scope_is_answered_in_its_own_words",),
    "permission-v2": (f"{HERE}/test_refresh.py::test_a_refresh_may_ask_for_less_and_never_for_more",),
}


def test_what_is_declared_is_what_has_tests() -> None:
    assert sorted(TESTS) == sorted(discovery.CAPABILITIES)


@pytest.mark.parametrize("capability", discovery.CAPABILITIES)
def test_the_tests_of_a_capability_are_there(capability: str) -> None:
    assert TESTS[capability]
    for name in TESTS[capability]:
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        found = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        }
        assert (function in found) if function else found, name


@pytest.mark.server
async def test_an_app_with_keys_walks_the_code_flow(
    auth: SMARTAuth,
    browser: httpx.AsyncClient,
    old_memory: None,  # noqa: F811 - after `auth`, which empties Redis
) -> None:
    key = ECKey.generate_key("P-384", {"kid": "k1", "alg": "ES384"})
    new_user(auth, "demo-doctor", "doctor")
    clients.register(
        auth.database,
        "keys-app",
        kind="confidential",
        name="Keys",
        scope="openid offline_access user/*.rs",
        redirect_uris=[REDIRECT],
        jwks={"keys": [key.as_dict(private=False)]},
    )
    auth.feed.refresh()

    def proof(signer: ECKey = key, client_id: str = "keys-app") -> dict[str, str]:
        assertion = sign(signer, claims(iss=client_id, sub=client_id))
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}

    flow = Flow(browser, "keys-app", parameters={"scope": "openid offline_access user/Patient.rs"})
    stranger = ECKey.generate_key("P-384", {"kid": "k1"})
    code = (await flow.answer("demo-doctor"))["code"]
    for without in ({}, proof(stranger), proof(client_id="demo-app")):
        assert (await flow.redeem(code, **without)).status_code == 401
    token = (await flow.redeem(code, **proof())).json()
    assert auth.verifier.verify(token["access_token"]).client_id == "keys-app"
    assert (await flow.refresh(token["refresh_token"])).status_code == 401
    assert "access_token" in (await flow.refresh(token["refresh_token"], **proof())).json()


@pytest.mark.server
async def test_offline_access_outlives_the_browser(auth: SMARTAuth, browser: httpx.AsyncClient) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser, parameters={"scope": "offline_access user/Patient.rs"})
    token = await flow.tokens("demo-doctor")
    session = await auth.authenticator.session(f"{auth.viewer_cookie}={browser.cookies[auth.viewer_cookie]}")
    await auth.sessions.end(session)  # as when its time is over; a logout ends the grants as well
    assert "access_token" in (await flow.refresh(token["refresh_token"])).json()
