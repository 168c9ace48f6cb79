"""Batch and transaction on the real HAPI: entries like requests, all of a transaction or none."""

import asyncio
import base64
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from facade.hapi import HAPIClient
from tests.facade.world import MRN, World, code_of, ids, observation, order, patient

pytestmark = pytest.mark.server

OTHER = "urn:demo:order"
Body = dict[str, Any]


def entry(
    method: str, url: str, resource: Body | None = None, full_url: str | None = None, **more: str
) -> Body:
    found: Body = {"request": {"method": method, "url": url, **more}}
    if resource is not None:
        found["resource"] = resource
    if full_url is not None:
        found["fullUrl"] = full_url
    return found


async def post(world: World, who: str, kind: str, *entries: Body, **headers: str) -> httpx.Response:
    body = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await world.ask(who, "POST", "", json=body, headers=sent)


def statuses(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [found["response"]["status"] for found in answer.json()["entry"]]


async def test_entries_of_a_batch_are_answered_like_requests(world: World, people: dict[str, str]) -> None:
    await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    path = f"ServiceRequest?subject={people['own']}&_count=2"
    answer = await post(
        world, "patient", "batch",
        entry("GET", people["own"]), entry("GET", people["foreign"]), entry("GET", "Patient/nobody"),
        entry("GET", path), entry("GET", "Patient?colour=red"), entry("GET", "Subscription/1"),
        entry("POST", "ServiceRequest", order(people["own"], people["doctor"])),
        entry("GET", people["own"], ifNoneMatch='W/"1"'), entry("GET", f"{people['own']}/$meta"),
    )  # fmt: skip
    assert statuses(answer) == ["200", "404", "404", "200", "400", "404", "403", "304", "200"]
    found = answer.json()["entry"]
    for one in (found[1], found[2]):
        del one["response"]["outcome"]["issue"][0]["diagnostics"]
    assert found[1] == found[2], "foreign and missing are one answer"
    alone = await world.ask("patient", "GET", path)
    assert found[3]["resource"] == alone.json()
    assert found[0]["response"]["etag"] == 'W/"1"'
    empty = await post(world, "patient", "batch")
    assert (empty.status_code, empty.json()) == (200, {"resourceType": "Bundle", "type": "batch-response"})


async def test_what_is_not_an_entry_is_refused(world: World, people: dict[str, str]) -> None:
    nested = {"resourceType": "Bundle", "type": "transaction", "entry": []}
    for bad in (
        entry("POST", "", nested), entry("POST", "/", nested), entry("BREW", "Patient/1"),
        entry("GET", "https://elsewhere.example/fhir/Patient/1"), entry("GET", "//other/Patient/1"),
        entry("GET", "Patient/../Patient"), entry("GET", "/internal/Patient/1"), {"request": []}, {}, [], 1,
        entry("POST", "?_getpages=x", nested), entry("GET", "?_getpages=x"),
        entry("GET", "Patient?_getpages=x"),
        entry("POST", "Task/1/$review", {"resourceType": "Parameters"}), entry("POST", "$export"),
        entry("POST", "DiagnosticReport/1/$sign", {"resourceType": "Parameters"}),
        {"request": {"method": "GET", "url": "Patient/1", "ifMatch": 1}},
    ):  # fmt: skip
        answer = await post(world, "admin", "batch", bad)
        assert statuses(answer)[0] in ("400", "404", "405"), bad
        whole = await post(world, "admin", "transaction", entry("GET", people["own"]), bad)
        assert whole.status_code in (400, 404, 405), bad
        assert whole.json()["issue"][0]["expression"][0].startswith("Bundle.entry[1]"), bad
    for kind in ("searchset", "history", "collection", None):
        answer = await world.ask("admin", "POST", "", json={"resourceType": "Bundle", "type": kind})
        assert (answer.status_code, code_of(answer)) == (422, "ERR_103")
    many = await post(world, "admin", "batch", *[entry("GET", people["own"])] * 101)
    assert (many.status_code, code_of(many)) == (400, "ERR_101")
    assert (await post(world, None, "batch")).status_code == 401  # type: ignore[arg-type]


async def test_a_transaction_ties_what_it_makes_together(world: World, people: dict[str, str]) -> None:
    who, visit = f"urn:uuid:{uuid4()}", f"urn:uuid:{uuid4()}"
    coming = {
        "resourceType": "Encounter",
        "status": "in-progress",
        "subject": {"reference": who},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    }
    answer = await post(
        world, "doctor", "transaction",
        entry("GET", f"ServiceRequest?status=active&requester={people['doctor']}&_summary=count"),
        entry("POST", "ServiceRequest", order(who, people["doctor"], encounter={"reference": visit})),
        entry("POST", "Encounter", coming, visit),
        entry("POST", "Patient", patient("Demo^Transaction"), who),
        Prefer="return=representation",
    )  # fmt: skip
    assert statuses(answer) == ["200", "201", "201", "201"], answer.text
    found = answer.json()["entry"]
    made = found[3]["response"]["location"].split("/fhir/")[1].split("/_history")[0]
    assert found[1]["resource"]["subject"]["reference"] == made
    met = found[2]["response"]["location"].split("/fhir/")[1].split("/_history")[0]
    assert found[1]["resource"]["encounter"]["reference"] == met
    assert found[2]["response"]["location"].startswith("http://localhost:8080/fhir/Encounter/")
    again = await world.ask("doctor", "GET", made)
    assert again.headers["etag"] == found[3]["response"]["etag"]
    names = [e["event"] for e in world.trail()[-12:]]
    kinds = {(e.get("subtype") or [{}])[0].get("code") for e in names if e["outcome"] == "0"}
    assert {"create", "search"} & kinds, "entries are recorded one by one"


async def test_a_read_that_fails_after_the_writes_says_so_in_its_own_entry(
    facade_with: Any, people: dict[str, str]
) -> None:
    async with facade_with(read_timeout_s=0.0) as late:
        await late.sign_in("doctor", "doctor", fhir_user=people["doctor"])
        new = order(people["own"], people["doctor"])
        answer = await post(
            late, "doctor", "transaction", entry("GET", people["own"]), entry("POST", "ServiceRequest", new)
        )
        assert statuses(answer) == ["403", "201"]
        assert "ERR_109" in str(answer.json()["entry"][0]["response"]["outcome"])


async def test_a_transaction_that_fails_leaves_nothing(world: World, people: dict[str, str]) -> None:
    value = uuid4().hex
    marked = order(people["own"], people["doctor"], identifier=[{"system": OTHER, "value": value}])
    held = await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    current = held.json() | {"priority": "stat"}
    good = entry("POST", "ServiceRequest", marked)
    path = f"ServiceRequest/{current['id']}"
    bare = {name: value for name, value in current.items() if name != "meta"}
    for bad, status, code in (
        (entry("POST", "ServiceRequest", order("Patient/nobody", people["doctor"])), 422, "ERR_108"),
        (entry("POST", "ServiceRequest", order(f"urn:uuid:{uuid4()}", people["doctor"])), 422, "ERR_108"),
        (entry("POST", "Practitioner", {"resourceType": "Practitioner"}), 403, "ERR_003"),
        (entry("PUT", path, current, ifMatch='W/"7"'), 412, "ERR_301"),
        (entry("PUT", path, bare), 428, "ERR_302"),
        (entry("PUT", f"ServiceRequest/{uuid4()}", current, ifMatch='W/"1"'), 400, "ERR_101"),
        (entry("GET", f"Patient/{uuid4()}"), 404, "ERR_201"),
        (entry("DELETE", people["own"], ifMatch='W/"1"'), 403, "ERR_003"),
        (entry("POST", "DiagnosticReport", {
            "resourceType": "DiagnosticReport", "status": "final", "code": {"text": "MR"},
            "subject": {"reference": people["own"]},
        }), 422, "ERR_402"),
    ):  # fmt: skip
        answer = await post(world, "doctor", "transaction", good, bad)
        assert (answer.status_code, code_of(answer)) == (status, code), answer.text
        assert answer.json()["issue"][0]["expression"][0].startswith("Bundle.entry[1]")
    left = await world.ask("doctor", "GET", f"ServiceRequest?identifier={OTHER}|{value}&_summary=count")
    assert left.json()["total"] == 0


async def test_a_lost_race_inside_the_store_leaves_nothing(world: World, people: dict[str, str]) -> None:
    held = await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    value = uuid4().hex
    marked = {"identifier": [{"system": OTHER, "value": value}]}
    path = f"ServiceRequest/{held.json()['id']}"

    async def one(number: int) -> httpx.Response:
        return await post(
            world, "doctor", "transaction",
            entry("POST", "ServiceRequest", order(people["own"], people["doctor"], **marked)),
            entry("PUT", path, held.json() | {"note": [{"text": f"{number}"}]}, ifMatch='W/"1"'),
        )  # fmt: skip

    answers = await asyncio.gather(*(one(number) for number in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    left = await world.ask("doctor", "GET", f"ServiceRequest?identifier={OTHER}|{value}&_summary=count")
    assert left.json()["total"] == 1


async def test_update_patch_and_delete_in_one_transaction(world: World, people: dict[str, str]) -> None:
    def posted(text: str) -> Body:
        return order(people["own"], people["doctor"], note=[{"text": text}])

    made = [(await world.ask("doctor", "POST", "ServiceRequest", json=posted(t))).json() for t in "abc"]
    paths = [f"ServiceRequest/{one['id']}" for one in made]
    steps = json.dumps([{"op": "replace", "path": "/priority", "value": "stat"},
                        {"op": "add", "path": "/priority", "value": "stat"}][1:])  # fmt: skip
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json",
              "data": base64.b64encode(steps.encode()).decode()}  # fmt: skip
    answer = await post(
        world, "admin", "transaction",
        entry("GET", paths[1]),
        entry("PATCH", paths[1], binary, ifMatch='W/"1"'),
        entry("PUT", paths[0], made[0] | {"priority": "urgent"}),
        entry("DELETE", paths[2], ifMatch='W/"1"'),
    )  # fmt: skip
    assert statuses(answer) == ["200", "200", "200", "204"], answer.text
    assert answer.json()["entry"][0]["resource"]["priority"] == "stat", "a read sees what was written"
    assert (await world.ask("admin", "GET", paths[2])).status_code == 404
    wrong = {**binary, "contentType": "application/fhir+json"}
    other = await post(world, "admin", "transaction", entry("PATCH", paths[1], wrong, ifMatch='W/"2"'))
    assert (other.status_code, code_of(other)) == (415, "ERR_105")
    twice = await post(
        world, "admin", "transaction",
        entry("DELETE", paths[1], ifMatch='W/"2"'), entry("PATCH", paths[1], binary, ifMatch='W/"2"'),
    )  # fmt: skip
    assert (twice.status_code, code_of(twice)) == (400, "ERR_101")
    gone = await post(world, "admin", "transaction", entry("DELETE", paths[1], ifMatch='W/"2"'),
                      entry("GET", paths[1]))  # fmt: skip
    assert gone.status_code == 400
    stale = await post(world, "admin", "transaction", entry("DELETE", paths[1], ifMatch='W/"1"'))
    assert (stale.status_code, code_of(stale)) == (412, "ERR_301")


async def test_conditional_entries_find_what_is_there(world: World, people: dict[str, str]) -> None:
    value, who = uuid4().hex, f"urn:uuid:{uuid4()}"
    body = patient()
    mrn = body["identifier"][0]["value"]
    known = (await world.ask("admin", "POST", "Patient", json=body)).json()["id"]
    wanted = order(who, people["doctor"], identifier=[{"system": OTHER, "value": value}])
    path = f"ServiceRequest?identifier={OTHER}|{value}"
    first = await post(
        world, "doctor", "transaction",
        entry("POST", "Patient", body, who, ifNoneExist=f"identifier={MRN}|{mrn}"),
        entry("PUT", path, wanted),
    )  # fmt: skip
    assert statuses(first) == ["200", "201"], first.text
    second = await post(
        world, "doctor", "transaction",
        entry("POST", "Patient", patient(identifier=body["identifier"]), who),
        entry("PUT", path, wanted | {"priority": "stat"}),
    )  # fmt: skip
    assert statuses(second) == ["200", "200"], second.text
    stored = (await world.ask("doctor", "GET", path)).json()["entry"]
    assert [e["resource"]["subject"]["reference"] for e in stored] == [f"Patient/{known}"]
    by_url = order(f"Patient?identifier={MRN}|{mrn}", people["doctor"])
    third = await post(world, "doctor", "transaction", entry("POST", "ServiceRequest", by_url),
                       Prefer="return=representation")  # fmt: skip
    assert third.json()["entry"][0]["resource"]["subject"]["reference"] == f"Patient/{known}"
    twins = [entry("POST", "Patient", patient(identifier=[{"system": MRN, "value": f"T-{value}"}]))] * 2
    answer = await post(world, "admin", "transaction", *twins)
    assert (answer.status_code, code_of(answer)) == (409, "ERR_305")


async def test_what_may_not_be_seen_is_not_found_by_an_entry(world: World, people: dict[str, str]) -> None:
    """`external` may make orders for shared patients: nothing of another one is told, whatever is asked."""
    foreign = (await world.ask("admin", "GET", people["foreign"])).json()
    mrn = foreign["identifier"][0]["value"]
    for subject in (people["foreign"], f"Patient?identifier={MRN}|{mrn}", f"Patient?identifier={MRN}|none",
                    "Patient/nobody", f"urn:uuid:{uuid4()}"):  # fmt: skip
        asked = entry("POST", "ServiceRequest", order(subject, people["organization"]))
        answer = await post(world, "external", "transaction", asked)
        issue = answer.json()["issue"][0]
        assert (answer.status_code, code_of(answer)) == (422, "ERR_108"), subject
        assert issue["expression"] == ["Bundle.entry[0].resource.ServiceRequest.subject"]
    who = f"urn:uuid:{uuid4()}"
    made = await post(world, "external", "transaction", entry("POST", "Patient", patient(), who),
                      entry("POST", "ServiceRequest", order(who, people["organization"])))  # fmt: skip
    assert made.status_code == 403


async def test_facts_of_two_patients_are_not_tied_by_a_transaction(
    world: World, people: dict[str, str]
) -> None:
    ordered = f"urn:uuid:{uuid4()}"
    report = {"resourceType": "DiagnosticReport", "status": "preliminary", "code": {"text": "MR"},
              "subject": {"reference": people["own"]}, "basedOn": [{"reference": ordered}]}  # fmt: skip
    answer = await post(
        world, "doctor", "transaction",
        entry("POST", "ServiceRequest", order(people["foreign"], people["doctor"]), ordered),
        entry("POST", "DiagnosticReport", report),
    )  # fmt: skip
    assert (answer.status_code, code_of(answer)) == (422, "ERR_401")


async def test_a_repeated_transaction_makes_its_resources_once(world: World, people: dict[str, str]) -> None:
    value = uuid4().hex
    marked = order(people["own"], people["doctor"], identifier=[{"system": OTHER, "value": value}])
    entries = [entry("POST", "ServiceRequest", marked), entry("GET", people["own"])]
    key = {"Idempotency_Key": f"key-{value}"}
    first = await post(world, "doctor", "transaction", *entries, **key)
    again = await post(world, "doctor", "transaction", *entries, **key)
    assert statuses(first) == statuses(again) == ["201", "200"]
    assert first.json()["entry"][0]["response"] == again.json()["entry"][0]["response"]
    other = await post(world, "doctor", "transaction", entries[0], **key)
    assert (other.status_code, code_of(other)) == (422, "ERR_405")
    await world.services.redis.flushdb()
    lost = await post(world, "doctor", "transaction", *entries, **key)
    assert lost.json()["entry"][0]["response"]["location"] == first.json()["entry"][0]["response"]["location"]
    for _ in range(2):
        batch = await post(world, "doctor", "batch", *entries, **key)
        assert statuses(batch) == ["201", "200"]
    count = await world.ask("doctor", "GET", f"ServiceRequest?identifier={OTHER}|{value}&_summary=count")
    assert count.json()["total"] == 2, "one of the transaction, one of the batch"


async def test_a_draft_is_not_released_by_an_entry(
    world: World, people: dict[str, str], workers: HAPIClient
) -> None:
    seen = await workers.create(observation(people["own"], "imaging", "preliminary"))
    report = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "code": {"text": "MR"},
        "subject": {"reference": people["own"]},
        "result": [{"reference": f"Observation/{seen['id']}"}],
    }
    made = await workers.create(report)
    current = (await world.ask("rib", "GET", f"Observation/{seen['id']}")).json()
    loose = {name: value for name, value in made.items() if name != "result"}
    answer = await post(
        world, "rib", "transaction",
        entry("PUT", f"DiagnosticReport/{made['id']}", loose),
        entry("PUT", f"Observation/{seen['id']}", current | {"status": "final"}),
    )  # fmt: skip
    assert (answer.status_code, code_of(answer)) == (422, "ERR_402")
    assert ids(await world.ask("patient", "GET", f"Observation?_id={seen['id']}")) == set()


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_each_entry_is_in_the_trail_with_what_it_asked(
    world: World, people: dict[str, str], kind: str
) -> None:
    before = len(world.trail())
    search = f"ServiceRequest?subject={people['own']}&_count=1"
    entries = [
        entry("GET", search),
        entry("POST", "ServiceRequest", order(people["own"], people["doctor"])),
        entry("GET", people["own"]),
    ]
    if kind == "batch":
        entries.append(entry("GET", "AuditEvent"))  # refused to a doctor
    assert (await post(world, "doctor", kind, *entries)).status_code == 200
    found: dict[str, list[dict[str, Any]]] = {}
    for record in world.trail()[before:]:
        about = record["event"]["entity"]
        details = {one["type"]: one["valueString"] for one in about[-1].get("detail", [])}
        if "entry" in details:
            found.setdefault(details["entry"], []).append(record["event"])
    assert set(found) == {str(number) for number in range(len(entries))}
    (searched,) = found["0"]
    queries = [base64.b64decode(one["query"]).decode() for one in searched["entity"] if "query" in one]
    assert queries == [f"GET {search}"]
    assert [event["action"] for event in found["1"]] == ["C", "C"]
    assert [event["action"] for event in found["2"]] == ["R"]
    if kind == "batch":
        assert [event["outcome"] for event in found["3"]] == ["8"]
    assert (
        len({event["entity"][-1]["what"]["identifier"]["value"] for e in found.values() for event in e}) == 1
    )
