"""Whatever is bound to a patient ends at once; what is about anybody else goes on."""

import httpx
import pytest

from smart_auth import contexts
from smart_auth.contexts import Ended
from smart_auth.launch import Launch, create
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import Flow, bearer, log_in, new_browser, new_user
from tests.smart_auth.hospital import Hospital

pytestmark = pytest.mark.server
BOUND = "openid launch/patient offline_access patient/*.rs"


async def ended(auth: SMARTAuth, *patients: str) -> Ended:
    found = await contexts.end(auth.database, auth.store, patients, token_s=3600)
    auth.feed.refresh()
    return found


def flow(browser: httpx.AsyncClient, patient: str) -> Flow:
    return Flow(browser, patient=patient, parameters={"scope": BOUND})


async def is_good(browser: httpx.AsyncClient, token: dict[str, str]) -> bool:
    return (await browser.get("/auth/userinfo", headers=bearer(token))).status_code == 200


async def test_tokens_and_grants_with_the_patient_end_and_others_go_on(
    auth: SMARTAuth, browser: httpx.AsyncClient, hospital: Hospital
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    walks = {patient: flow(browser, patient) for patient in ("p1", "p2")}
    tokens = {patient: await walk.tokens("demo-doctor") for patient, walk in walks.items()}
    assert tokens["p1"]["patient"] == "p1"
    assert (await ended(auth, "p1", "nobody")).grants == 1
    assert not await is_good(browser, tokens["p1"])
    assert (await walks["p1"].refresh(tokens["p1"]["refresh_token"])).status_code == 400
    assert await is_good(browser, tokens["p2"])
    assert (await walks["p2"].refresh(tokens["p2"]["refresh_token"])).status_code == 200
    assert await ended(auth, "p1") == Ended(0, 0, 0)


async def test_a_code_that_no_app_has_redeemed_yet_is_gone(
    auth: SMARTAuth, browser: httpx.AsyncClient, hospital: Hospital
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    walk = flow(browser, "p1")
    answer = await walk.answer("demo-doctor")
    assert (await ended(auth, "p1")).contexts == 1
    assert (await walk.redeem(answer["code"])).status_code == 400


@pytest.mark.parametrize(
    "launch",
    [
        Launch("u", "s", "app", "p1", None, {}),
        Launch("u", "s", "app", "p2", None, {"fhirContext": [{"reference": "Patient/p1", "role": "urn:x"}]}),
    ],
)
async def test_a_launch_that_names_the_patient_is_gone(auth: SMARTAuth, launch: Launch) -> None:
    named = await create(auth.store, launch, lifetime_s=60)
    other = await create(auth.store, Launch("u", "s", "app", "p10", None, {"note": "p1"}), lifetime_s=60)
    assert (await ended(auth, "p1")).contexts == 1
    assert await auth.store.get("launch", named) is None
    assert await auth.store.get("launch", other) is not None


async def test_the_patients_own_logins_end(
    auth: SMARTAuth, browser: httpx.AsyncClient, hospital: Hospital
) -> None:
    new_user(auth, "demo-patient", "patient", fhir_user="Patient/p1")
    new_user(auth, "demo-nurse", "nurse")
    nurse = new_browser(browser._transport.app)  # type: ignore[attr-defined]
    for one, name in ((browser, "demo-patient"), (nurse, "demo-nurse")):
        await log_in(one, name)
        assert (await one.get("/auth/me")).status_code == 200
    assert (await ended(auth, "p1")).users == 1
    assert (await browser.get("/auth/me")).status_code == 401
    assert (await nurse.get("/auth/me")).status_code == 200
