"""Writes on the real HAPI: versions, rules of the product, references, limits, idempotency."""

import asyncio
from uuid import uuid4

import pytest

from facade.hapi import HAPIClient
from tests.facade.world import JSON, MRN, World, code_of, ids, observation, order, patient

pytestmark = pytest.mark.server


async def test_an_order_for_a_missing_patient_names_the_element(world: World, people: dict[str, str]) -> None:
    answer = await world.ask(
        "doctor", "POST", "ServiceRequest", json=order("Patient/nobody", people["doctor"])
    )
    assert (answer.status_code, code_of(answer)) == (422, "ERR_108")
    assert answer.json()["issue"][0]["expression"] == ["ServiceRequest.subject"]


async def test_an_imaging_order_needs_code_and_requester_and_all_is_said_at_once(
    world: World, people: dict[str, str]
) -> None:
    bare = order(people["own"], people["doctor"])
    del bare["code"], bare["requester"]
    answer = await world.ask("doctor", "POST", "ServiceRequest", json=bare)
    assert (answer.status_code, code_of(answer)) == (422, "ERR_103")
    named = [issue["expression"][0] for issue in answer.json()["issue"]]
    assert named == ["ServiceRequest.code", "ServiceRequest.requester"]


async def test_unknown_elements_and_codes_are_refused(world: World, people: dict[str, str]) -> None:
    answer = await world.ask(
        "doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"], colour="red")
    )
    assert (answer.status_code, code_of(answer)) == (422, "ERR_103")
    answer = await world.ask(
        "doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"], status="nonsense")
    )
    assert answer.json()["issue"][0]["expression"] == ["ServiceRequest.status"]


async def test_an_update_needs_the_version_that_was_read(world: World, people: dict[str, str]) -> None:
    made = await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    assert made.status_code == 201, made.text
    body, path = made.json(), f"ServiceRequest/{made.json()['id']}"
    assert made.headers["location"] == f"http://localhost:8080/fhir/{path}/_history/1"
    bare = {name: value for name, value in body.items() if name != "meta"} | {"status": "on-hold"}
    answer = await world.ask("doctor", "PUT", path, json=bare)
    assert (answer.status_code, code_of(answer)) == (428, "ERR_302")
    answer = await world.ask("doctor", "PUT", path, json=bare, headers={"If-Match": "nonsense"})
    assert answer.status_code == 400
    answer = await world.ask("doctor", "PUT", path, json=bare, headers={"If-Match": 'W/"7"'})
    assert (answer.status_code, code_of(answer)) == (412, "ERR_301")
    answer = await world.ask("doctor", "PUT", path, json=bare, headers={"If-Match": 'W/"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')
    answer = await world.ask("doctor", "PUT", path, json=body | {"status": "active"})
    assert answer.status_code == 412, "the version in the body counts as If-Match"


async def test_of_many_updates_of_one_version_one_wins(world: World, people: dict[str, str]) -> None:
    made = await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    path = f"ServiceRequest/{made.json()['id']}"
    answers = await asyncio.gather(
        *(world.ask("doctor", "PUT", path, json=made.json() | {"note": [{"text": f"{n}"}]}) for n in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]


async def test_clients_do_not_choose_ids(world: World) -> None:
    answer = await world.ask(
        "admin", "PUT", "Patient/mine", json=patient(id="mine"), headers={"If-Match": 'W/"1"'}
    )
    assert (answer.status_code, code_of(answer)) == (404, "ERR_201")
    made = await world.ask("admin", "POST", "Patient", json=patient(id="mine"))
    assert made.json()["id"] != "mine"


async def test_one_mrn_is_one_patient(world: World) -> None:
    body = patient()
    answers = await asyncio.gather(*(world.ask("admin", "POST", "Patient", json=body) for _ in range(5)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = (await world.ask("admin", "POST", "Patient", json=patient())).json()
    other["identifier"] = body["identifier"]
    answer = await world.ask("admin", "PUT", f"Patient/{other['id']}", json=other)
    assert (answer.status_code, code_of(answer)) == (409, "ERR_305")


async def test_a_conditional_create_finds_what_is_there(world: World) -> None:
    body = patient()
    condition = {"If-None-Exist": f"identifier={MRN}|{body['identifier'][0]['value']}"}
    first = await world.ask("admin", "POST", "Patient", json=body, headers=condition)
    second = await world.ask("admin", "POST", "Patient", json=body, headers=condition)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    chained = {"If-None-Exist": "general-practitioner.name=x"}
    answer = await world.ask("admin", "POST", "Patient", json=body, headers=chained)
    assert answer.status_code == 400


async def test_what_the_server_says_of_a_resource_is_not_taken_from_a_client(world: World) -> None:
    meta = {"source": "http://elsewhere.example", "lastUpdated": "1999-01-01T00:00:00Z", "versionId": "9"}
    made = await world.ask("admin", "POST", "Patient", json=patient(meta=meta))
    assert made.status_code == 201
    stored = made.json()["meta"]
    assert stored["versionId"] == "1"
    assert "elsewhere" not in str(stored)
    assert not stored["lastUpdated"].startswith("1999")


async def test_a_plain_put_does_not_sign(world: World, people: dict[str, str], workers: HAPIClient) -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "code": {"text": "MR brain"},
        "subject": {"reference": people["own"]},
    }
    made = await world.ask("rib", "POST", "DiagnosticReport", json=report)
    assert made.status_code == 201, made.text
    path = f"DiagnosticReport/{made.json()['id']}"
    for who in ("rib", "doctor"):
        answer = await world.ask(who, "PUT", path, json=made.json() | {"status": "final"})
        assert (answer.status_code, code_of(answer)) == (422, "ERR_402"), who
        event = world.trail()[-1]["event"]
        assert (event["action"], event["outcome"], event["outcomeDesc"]) == ("U", "4", "ERR_402")
    for element in ({"issued": "2026-01-01T00:00:00Z"}, {"performer": [{"reference": people["rib"]}]}):
        answer = await world.ask("rib", "PUT", path, json=made.json() | element)
        assert (answer.status_code, code_of(answer)) == (422, "ERR_402"), element
    answer = await world.ask("rib", "POST", "DiagnosticReport", json=report | {"status": "final"})
    assert (answer.status_code, code_of(answer)) == (422, "ERR_402")
    final = await workers.update({**made.json(), "status": "final"})
    answer = await world.ask("rib", "PUT", path, json={**final, "status": "preliminary"})
    assert (answer.status_code, code_of(answer)) == (422, "ERR_404")


async def test_an_observation_of_a_draft_is_not_released_by_itself(
    world: World, people: dict[str, str], workers: HAPIClient
) -> None:
    seen = await workers.create(observation(people["own"], "imaging", "preliminary"))
    await workers.create(
        {
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "code": {"text": "MR brain"},
            "subject": {"reference": people["own"]},
            "result": [{"reference": f"Observation/{seen['id']}"}],
        }
    )
    current = (await world.ask("rib", "GET", f"Observation/{seen['id']}")).json()
    answer = await world.ask("rib", "PUT", f"Observation/{seen['id']}", json=current | {"status": "final"})
    assert (answer.status_code, code_of(answer)) == (422, "ERR_402")


async def test_facts_of_two_patients_are_not_tied_together(world: World, people: dict[str, str]) -> None:
    made = await world.ask(
        "doctor", "POST", "ServiceRequest", json=order(people["foreign"], people["doctor"])
    )
    mixed = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "code": {"text": "MR brain"},
        "subject": {"reference": people["own"]},
        "basedOn": [{"reference": f"ServiceRequest/{made.json()['id']}"}],
    }
    answer = await world.ask("doctor", "POST", "DiagnosticReport", json=mixed)
    assert (answer.status_code, code_of(answer)) == (422, "ERR_401")


async def test_an_observation_needs_a_category_of_its_writer(world: World, people: dict[str, str]) -> None:
    without = {name: value for name, value in observation(people["own"]).items() if name != "category"}
    for role, body in (
        ("doctor", without),
        ("doctor", observation(people["own"], "laboratory")),
        ("lab", observation(people["own"], "vital-signs")),
    ):
        answer = await world.ask(role, "POST", "Observation", json=body)
        assert (answer.status_code, code_of(answer)) == (403, "ERR_014")
    answer = await world.ask("lab", "POST", "Observation", json=observation(people["own"], "laboratory"))
    assert answer.status_code == 201, answer.text


async def test_decimals_keep_their_digits(world: World, people: dict[str, str]) -> None:
    text = b'{"resourceType":"Observation","status":"final","category":[{"coding":[{"system":'
    text += b'"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],'
    text += (
        b'"code":{"text":"temperature"},"valueQuantity":{"value":37.50,"unit":"Cel"},"subject":{"reference":"'
    )
    text += people["own"].encode() + b'"}}'
    made = await world.ask("nurse", "POST", "Observation", content=text, headers=JSON)
    assert made.status_code == 201, made.text
    assert '"value":37.50' in made.text
    read = await world.ask("nurse", "GET", f"Observation/{made.json()['id']}")
    assert '"value":37.50' in read.text


async def test_a_body_over_the_limit_is_413(world: World, people: dict[str, str]) -> None:
    large = order(people["own"], people["doctor"], note=[{"text": "x" * 6_000_000}])
    answer = await world.ask("doctor", "POST", "ServiceRequest", json=large)
    assert (answer.status_code, code_of(answer)) == (413, "ERR_104")


async def test_a_repeated_key_makes_one_resource_even_without_redis(
    world: World, people: dict[str, str]
) -> None:
    body = order(people["own"], people["doctor"], note=[{"text": "once"}])
    key = {"Idempotency-Key": "a-key-of-this-test"}
    first = await world.ask("doctor", "POST", "ServiceRequest", json=body, headers=key)
    again = await world.ask("doctor", "POST", "ServiceRequest", json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["location"] == first.headers["location"]
    other = await world.ask(
        "doctor", "POST", "ServiceRequest", json=body | {"priority": "urgent"}, headers=key
    )
    assert (other.status_code, code_of(other)) == (422, "ERR_405")
    await world.services.redis.flushdb()
    lost = await world.ask("doctor", "POST", "ServiceRequest", json=body, headers=key)
    assert lost.json()["id"] == first.json()["id"]


async def test_a_search_by_post_is_the_same_search(world: World, people: dict[str, str]) -> None:
    name = (await world.ask("doctor", "GET", people["own"])).json()["name"][0]["given"][0]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await world.ask(
        "doctor", "POST", "Patient/_search?_count=5", content=f"given={name}".encode(), headers=form
    )
    assert people["own"] in ids(answer)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("Patient?colour=red", "ERR_102"),
        ("Patient?name:above=x", "ERR_102"),
        ("Patient?_getpages=x", "ERR_102"),
        ("Patient?_filter=name eq x", "ERR_102"),
        ("Patient?_count=-1", "ERR_101"),
        ("Patient?_count=1&_count=2", "ERR_101"),
        ("Observation?subject=http://elsewhere.example/Patient/1", "ERR_101"),
        ("Patient?name=%ff", "ERR_101"),
        ("Patient/$export", "ERR_107"),
        ("Subscription", "ERR_201"),
    ],
)
async def test_what_is_not_offered_is_an_error(world: World, path: str, code: str) -> None:
    answer = await world.ask("admin", "GET", path)
    assert code_of(answer) == code
    lenient = await world.ask("admin", "GET", path, headers={"Prefer": "handling=lenient"})
    if path == "Patient?colour=red":
        assert lenient.status_code == 200
        assert lenient.json()["entry"][-1]["search"]["mode"] == "outcome"


async def test_pages_follow_each_other_by_links_of_the_client_s_own_parameters(
    world: World, people: dict[str, str]
) -> None:
    for _ in range(3):
        await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    seen: set[str] = set()
    path: str | None = f"ServiceRequest?subject={people['own']}&_count=2"
    while path:
        answer = await world.ask("patient", "GET", path)
        page = ids(answer)
        assert not page & seen
        seen |= page
        links = {link["relation"]: link["url"] for link in answer.json()["link"]}
        path = links["next"].removeprefix("http://localhost:8080/fhir/") if "next" in links else None
    total = await world.ask("patient", "GET", f"ServiceRequest?subject={people['own']}&_summary=count")
    assert total.json()["total"] == len(seen) >= 3


async def test_history_and_versions(world: World) -> None:
    made = await world.ask("admin", "POST", "Patient", json=patient())
    path = f"Patient/{made.json()['id']}"
    await world.ask("admin", "PUT", path, json=made.json() | {"active": True})
    old = await world.ask("doctor", "GET", f"{path}/_history/1")
    assert (old.status_code, old.headers["etag"]) == (200, 'W/"1"')
    history = await world.ask("doctor", "GET", f"{path}/_history")
    assert [entry["resource"]["meta"]["versionId"] for entry in history.json()["entry"]] == ["2", "1"]
    assert (await world.ask("patient", "GET", f"{path}/_history")).status_code == 404
    assert (await world.ask("patient", "GET", f"{path}/_history/1")).status_code == 404


async def test_a_condition_does_not_get_around_the_mrn(world: World) -> None:
    body = patient()
    first = await world.ask("admin", "POST", "Patient", json=body)
    elsewhere = {"If-None-Exist": f"identifier=urn:demo:other|{body['identifier'][0]['value']}"}
    second = await world.ask("admin", "POST", "Patient", json=body, headers=elsewhere)
    assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])
    two = patient(identifier=[{"system": MRN, "value": "T-1"}, {"system": MRN, "value": "T-2"}])
    answer = await world.ask("admin", "POST", "Patient", json=two)
    assert (answer.status_code, code_of(answer)) == (422, "ERR_103")


async def test_an_ai_observation_that_its_report_forgot_is_not_released(
    world: World, people: dict[str, str], workers: HAPIClient
) -> None:
    key = [{"system": "urn:neuronova:ai-result", "value": uuid4().hex}]
    finding = [{"system": "urn:neuronova:ai-result", "value": f"{key[0]['value']}#core"}]
    seen = await workers.create(observation(people["own"], "imaging", "preliminary", identifier=finding))
    report = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "code": {"text": "MR brain"},
        "subject": {"reference": people["own"]},
        "identifier": key,
    }
    await workers.create(report)
    current = (await world.ask("rib", "GET", f"Observation/{seen['id']}")).json()
    answer = await world.ask("rib", "PUT", f"Observation/{seen['id']}", json=current | {"status": "final"})
    assert (answer.status_code, code_of(answer)) == (422, "ERR_402")
    stripped = {name: value for name, value in current.items() if name != "identifier"}
    answer = await world.ask("rib", "PUT", f"Observation/{seen['id']}", json=stripped)
    assert (answer.status_code, code_of(answer)) == (422, "ERR_402")


async def test_a_search_that_is_too_long_for_an_address_finds_the_same(
    world: World, people: dict[str, str]
) -> None:
    ids_asked = [people["own"].split("/")[1], *(str(uuid4()) for _ in range(150))]
    page = await world.services.hapi.search("Patient", [("_id", ",".join(ids_asked))], count=200)
    assert [entry["resource"]["id"] for entry in page["entry"]] == ids_asked[:1]


async def test_structure_rules_and_references_are_all_told_at_once(
    world: World, people: dict[str, str]
) -> None:
    wrong = order(
        people["own"], people["doctor"], priority="soon", authoredOn=5, contained=[patient() | {"id": "p"}]
    )
    wrong |= {"reasonReference": [{"reference": "Condition/nowhere"}], "subject": {"display": "her"}}
    del wrong["requester"], wrong["intent"]
    refused = await world.ask("doctor", "POST", "ServiceRequest", json=wrong)
    assert refused.status_code == 422
    found = {
        (issue["expression"][0], issue["details"]["coding"][0]["code"]) for issue in refused.json()["issue"]
    }
    assert found == {
        ("ServiceRequest.priority", "ERR_103"),
        ("ServiceRequest.authoredOn", "ERR_103"),
        ("ServiceRequest.intent", "ERR_103"),
        ("ServiceRequest.requester", "ERR_103"),
        ("ServiceRequest.subject", "ERR_103"),
        ("ServiceRequest.contained[0]", "ERR_103"),
        ("ServiceRequest.reasonReference[0]", "ERR_108"),
    }
