"""Patients and visits for the pages of smart_auth: this person's own rights, real HAPI, a record of it."""

from typing import Any
from uuid import uuid4

import pytest

from facade.hapi import HAPIClient
from smart_auth import clients
from tests.facade.world import MRN, World, ids, patient
from tests.smart_auth.flow import REDIRECT, Flow, bearer, form_of, log_in, send

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
async def ward(world: World, hapi: Any, people: dict[str, str]) -> dict[str, str]:
    """A Korean patient with a visit, another patient, and one who is shared; an app of a stranger."""
    made: dict[str, str] = {"mrn": f"K-{uuid4().hex[:10]}"}
    async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-facade"]) as client:
        korean = patient(birthDate="1963-05-07", gender="female") | {
            "identifier": [{"system": MRN, "value": made["mrn"]}],
            "name": [{"family": "남궁", "given": ["테스트"]}, {"family": "Namgung", "given": ["Test"]}],
        }
        made["korean"] = (await client.create(korean))["id"]
        made["shared"] = (await client.create(patient("Namgung^Shared")))["id"]
        visit = {"resourceType": "Encounter", "status": "in-progress", "class": {"code": "AMB"}}
        for name in ("korean", "shared"):
            subject = {"subject": {"reference": f"Patient/{made[name]}"}}
            period = {"period": {"start": "2026-03-01T09:30:00+09:00"}}
            made[f"visit-{name}"] = (await client.create(visit | subject | period))["id"]
        group = {
            "resourceType": "Group",
            "type": "person",
            "actual": True,
            "active": True,
            "managingEntity": {"reference": people["organization"]},
            "member": [{"entity": {"reference": f"Patient/{made['shared']}"}}],
        }
        await client.create(group)
    clients.register(
        world.services.auth.database,
        "stranger",
        kind="public",
        name="Stranger",
        scope="openid launch/patient launch/encounter patient/*.rs",
        redirect_uris=[REDIRECT],
    )
    world.services.auth.feed.refresh()
    return made


async def picker(world: World, browser: Any, scope: str) -> Any:
    """The patient picker of the stranger's app, for who is logged in."""
    page = await Flow(browser, "stranger", parameters={"scope": scope}).authorize()
    return await browser.get(page.headers["location"])


@pytest.mark.parametrize("typed", ["남궁", "남궁 테스트", "Namgung Test", "namgung"])
async def test_a_patient_is_found_by_either_name(world: World, ward: dict[str, str], typed: str) -> None:
    async with world.browser() as browser:
        await log_in(browser, "nurse")
        page = await picker(world, browser, "openid launch/patient patient/*.rs")
        page = await send(browser, "patient", [*form_of(page), ("name", typed), ("birthdate", "1963-05-07")])
        assert f'name="patient" value="{ward["korean"]}"' in page.text
        assert "남궁테스트" in page.text
        assert ward["mrn"] in page.text


async def test_a_standalone_launch_is_bound_to_the_chosen_patient(
    world: World, ward: dict[str, str], people: dict[str, str]
) -> None:
    before = len(world.trail())
    scope = "openid launch/patient launch/encounter patient/*.rs"
    async with world.browser() as browser:
        chosen = {"patient": ward["korean"], "encounter": ward["visit-korean"]}
        flow = Flow(browser, "stranger", parameters={"scope": scope}, **chosen)
        token = await flow.tokens("nurse")
    assert (token["patient"], token["encounter"]) == (ward["korean"], ward["visit-korean"])
    world.tokens["nurse-app"] = bearer(token)
    assert ids(await world.ask("nurse-app", "GET", "Patient")) == {f"Patient/{ward['korean']}"}
    assert (await world.ask("nurse-app", "GET", f"Patient/{ward['shared']}")).status_code == 404
    found = await world.ask("nurse-app", "GET", "Encounter")
    assert ids(found) == {f"Encounter/{ward['visit-korean']}"}
    assert (await world.ask("nurse-app", "GET", f"Encounter/{ward['visit-shared']}")).status_code == 404
    events = [record["event"] for record in world.trail()[before:]]
    looked = [
        event
        for event in events
        if any(agent.get("who", {}).get("reference") == people["nurse"] for agent in event["agent"])
        and "neuronova-viewer" in str(event["agent"])
    ]
    whats = {e.get("what", {}).get("reference") for event in looked for e in event["entity"]}
    assert {f"Patient/{ward['korean']}", f"Encounter/{ward['visit-korean']}"} <= whats


async def test_a_partner_finds_and_chooses_shared_patients_only(world: World, ward: dict[str, str]) -> None:
    async with world.browser() as browser:
        await log_in(browser, "external")
        page = await picker(world, browser, "openid launch/patient patient/*.rs")
        page = await send(browser, "patient", [*form_of(page), ("name", "Namgung")])
        assert ward["shared"] in page.text
        assert ward["korean"] not in page.text
        assert page.text.count('name="patient"') == 1
        page = await send(browser, "patient", [*form_of(page), ("patient", ward["korean"])])
        assert page.status_code == 200  # still the picker
        page = await send(browser, "patient", [*form_of(page), ("patient", ward["shared"])])
        assert "/auth/consent" in page.headers["location"]


async def test_the_search_is_in_the_trail_and_its_failure_is_temporary(
    world: World, ward: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.browser() as browser:
        await log_in(browser, "nurse")
        page = await picker(world, browser, "openid launch/patient patient/*.rs")
        before = len(world.trail())
        await send(browser, "patient", [*form_of(page), ("mrn", ward["mrn"])])
        event = world.trail()[before]["event"]
        assert event["subtype"][0]["code"].startswith("search")
        assert f"Patient/{ward['korean']}" in str(event["entity"])
        monkeypatch.setattr(world.services.hapi, "_base", "http://127.0.0.1:9/fhir")
        answer = await send(browser, "patient", [*form_of(page), ("mrn", ward["mrn"])])
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
