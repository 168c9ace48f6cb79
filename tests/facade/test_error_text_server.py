"""Whatever is provoked, an answer holds nothing of the inside: SQL, classes, paths, ports, HAPI's codes,
other patients' ids. Each case goes to the real HAPI through the facade, as doctor, administrator and patient.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from facade.hapi import HAPIClient
from tests.facade.world import JSON, MRN, World, observation, order, patient
from tests.servers.stack import Stack

pytestmark = pytest.mark.server
INSIDE = re.compile(
    r"HAPI-\d|HFJ_|\bSQL|\bselect\b.*\bfrom\b|\binsert into\b|constraint|jdbc|hibernate|\bca\.uhn"
    r"|\borg\.[a-z]+\.|\bjava[x.]|Exception|Traceback|\bat [a-z]+\.[A-Za-z.]+\(|\.(?:java|py):?\d*\b"
    r"|/(?:home|root|tmp|usr|var|opt)/|127\.0\.0\.1|\[::1\]|X-NeuroNova|internal-hapi|Traceback|pydantic|starlette|psycopg|\bH2\b",
    re.IGNORECASE,
)
LONG = "9" * 400

SEARCHES = [
    "Observation?date=yesterday",
    "Observation?date=99999-01-01",
    "Observation?date=ge2020-13-45",
    "Observation?date=2020-02-30",
    "Observation?date=le292278995-01-01",
    "Observation?date=xx2020-01-01",
    "Observation?value-quantity=abc",
    f"Observation?value-quantity={LONG}",
    "Observation?value-quantity=1e4000",
    "Observation?code=a%7Cb%7Cc%7Cd",
    "Observation?subject=Organization/1",
    "Observation?subject=http://elsewhere.example/Patient/1",
    "Observation?subject:Device.identifier=x",
    "Observation?subject.name.family=x",
    "Observation?_has:Foo:bar:baz=1",
    "Observation?_include=Observation:nothing",
    "Observation?_include=*",
    "Observation?_revinclude=Provenance:entity:Foo",
    "Patient?birthdate=0000-00-00",
    "Patient?birthdate=-1",
    "Patient?gender=%27%3B%20DROP%20TABLE%20HFJ_RESOURCE%3B--",
    "Patient?name=%27%20OR%201%3D1--",
    "Patient?name=%25%25%25%5C",
    "Patient?name:soundslike=x",
    "Patient?name:missing=maybe",
    "Patient?family:exact:exact=x",
    "Patient?identifier=%7C%7C%7C",
    "Patient?identifier=%24%2C%5C",
    "Patient?_id=%27%20OR%20%271%27%3D%271",
    "Patient?_id=" + ",".join(["x"] * 900),
    "Patient?_lastUpdated=abc",
    "Patient?_lastUpdated=gt99999999999999",
    "Patient?_count=-1",
    "Patient?_count=99999999999999999999",
    "Patient?_count=1.5",
    "Patient?_offset=-5",
    "Patient?_offset=99999999999999999999",
    "Patient?_sort=nothing",
    "Patient?_sort=-_id%27",
    "Patient?_elements=..%2F..",
    "Patient?_summary=everything",
    "Patient?_total=often",
    "Patient?_format=xml",
    "Patient?_filter=name%20eq%20x",
    "Patient?_query=x",
    "Patient?_content=x",
    "Patient?_getpages=00000000-0000-0000-0000-000000000000",
    "Patient?nothing=1",
    "Patient?phone=%00",
    "Patient?phone=%ff%fe",
    "Patient?" + "&".join(f"name=x{n}" for n in range(80)),
    f"Patient?name={'x' * 7000}",
    "ImagingStudy?started=ap2020-99",
    "ServiceRequest?authored=sa",
    "AuditEvent?date=never",
    "AuditEvent?policy=x",
    "Patient/_search",
    "Foo?x=1",
    "?_type=Patient",
]
READS = [
    "Patient/%27",
    "Patient/%2e%2e",
    "Patient/..%2f..%2fetc%2fpasswd",
    f"Patient/{'x' * 65}",
    "Patient/nobody",
    "Patient/nobody/_history/1",
    "Patient/nobody/_history/99999999999",
    "Patient/nobody/_history/abc",
    "Patient/_history?_since=never",
    "Patient/_history?_count=-1",
    "Patient/nobody/$everything?start=never",
    "Patient/$expunge",
    "Patient/$export",
    "$reindex",
    "metadata/x",
    "Foo/1",
    "Binary/1",
    "SearchParameter/1",
    "Subscription/1",
]
BODIES: list[Any] = [
    b'{"resourceType":"Patient","extension":[{"url":"urn:x","valueDecimal":1e400}]}',
    b'{"resourceType":"Patient","extension":[{"url":"urn:x","valueDecimal":1e-4000}]}',
    b'{"resourceType":"Patient","extension":[{"url":"urn:x","valueDecimal":' + b"9" * 90 + b"}]}",
    b'{"resourceType":"Patient","extension":[{"url":"urn:x","valueDecimal":' + b"9" * 5000 + b"}]}",
    b'{"resourceType":"Patient","multipleBirthInteger":1e30}',
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'{"resourceType":"Patient","resourceType":"Patient"}',
    b'{"resourceType":"Patient","gender":' + b"[" * 5000 + b"]" * 5000 + b"}",
    {"resourceType": "Observation"},
    {"resourceType": "Patient", "birthDate": "9999-99-99"},
    {"resourceType": "Patient", "birthDate": "0000-01-01"},
    {"resourceType": "Patient", "birthDate": 5},
    {"resourceType": "Patient", "gender": "robot"},
    {"resourceType": "Patient", "active": "yes"},
    {"resourceType": "Patient", "multipleBirthInteger": 10**30},
    {"resourceType": "Patient", "nothing": {"a": 1}},
    {"resourceType": "Patient", "name": "x"},
    {"resourceType": "Patient", "name": [{"family": "a\u0000b"}]},
    {"resourceType": "Patient", "name": [{"family": "\ud800"}]},
    {"resourceType": "Patient", "name": [{"family": "x" * 300_000}]},
    {"resourceType": "Patient", "identifier": [{"system": MRN, "value": "a|b"}]},
    {"resourceType": "Patient", "managingOrganization": {"reference": "Organization/nobody"}},
    {"resourceType": "Patient", "managingOrganization": {"reference": "Organization?name=x"}},
    {
        "resourceType": "Patient",
        "managingOrganization": {"reference": "http://127.0.0.1:8090/fhir/Organization/1"},
    },
    {"resourceType": "Patient", "photo": [{"data": "not base64!"}]},
    {"resourceType": "Patient", "extension": [{"url": "x", "valueDecimal": 10**400}]},
    {"resourceType": "Patient", "text": {"status": "generated", "div": "<script>x</script>"}},
]


def checked(answer: httpx.Response, stack: Stack, hidden: set[str]) -> None:
    """No word of the inside, and an OperationOutcome whose only free text is ours."""
    said = answer.text
    asked = str(answer.request.url) + answer.request.content.decode("utf-8", "replace")
    found = INSIDE.search(said)
    # What the caller sent may be named back to him; it is not from the inside.
    assert found is None or found.group().lower() in asked.lower(), (asked[:200], said[:800])
    assert f":{stack.settings.hapi_port}" not in said
    for id_ in hidden:
        assert id_ not in said or id_ in asked, (asked[:200], said[:800])
    assert answer.status_code < 500, (asked[:200], said[:800])
    assert not {"server", "x-powered-by"} & set(answer.headers)
    if answer.status_code >= 400:
        outcome = answer.json()
        assert outcome["resourceType"] == "OperationOutcome"
        for issue in outcome["issue"]:
            assert re.fullmatch(r"[0-9a-f]{32}", issue["diagnostics"])
            assert len(issue["details"]["text"]) < 500


@pytest.fixture(scope="module")
async def hidden(world: World, workers: HAPIClient, people: dict[str, str]) -> set[str]:
    """Ids of what belongs to another patient."""
    made = [people["foreign"].split("/")[1]]
    doctor = people["doctor"]
    for resource in (observation(people["foreign"]), order(people["foreign"], doctor)):
        stored = await world.ask("doctor", "POST", resource["resourceType"], json=resource)
        assert stored.status_code == 201, stored.text
        made.append(stored.json()["id"])
    return set(made)


@pytest.mark.parametrize("who", ["doctor", "admin", "patient"])
async def test_no_search_or_read_tells_of_the_inside(
    world: World, hapi: Stack, hidden: set[str], who: str
) -> None:
    secret = hidden if who == "patient" else set()
    for path in [*SEARCHES, *READS]:
        checked(await world.ask(who, "GET", path), hapi, secret)
    for path in SEARCHES:
        type_, _, query = path.partition("?")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await world.ask(who, "POST", f"{type_}/_search", content=query.encode(), headers=form)
        checked(answer, hapi, secret)


@pytest.mark.parametrize("who", ["doctor", "admin", "patient"])
async def test_no_refused_body_tells_of_the_inside(
    world: World, hapi: Stack, hidden: set[str], people: dict[str, str], who: str
) -> None:
    secret = hidden if who == "patient" else set()
    for body in BODIES:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await world.ask(who, "POST", "Patient", content=content, headers=JSON)
        checked(answer, hapi, secret)
        update = await world.ask(
            who, "PUT", people["own"], content=content, headers={**JSON, "If-Match": 'W/"1"'}
        )
        checked(update, hapi, secret)
        assert update.status_code >= 400
    for tag in ("abc", 'W/"abc"', 'W/"99999999999999999999"', "*", 'W/"1", W/"2"', '"'):
        body = {**patient(), "id": people["own"].split("/")[1]}
        answer = await world.ask(who, "PUT", people["own"], json=body, headers={"If-Match": tag})
        checked(answer, hapi, secret)
    for condition in ("", "nothing=1", "name=%00", "identifier=%27", "_id=" + quote("' OR 1=1")):
        answer = await world.ask(who, "POST", "Patient", json=patient(), headers={"If-None-Exist": condition})
        checked(answer, hapi, secret)


async def test_a_conflict_names_neither_the_winner_nor_the_store(world: World, hapi: Stack) -> None:
    mrn = f"T-{uuid4().hex[:12]}"
    new = patient(identifier=[{"system": MRN, "value": mrn}])
    condition = {"If-None-Exist": f"identifier={MRN}|{mrn}"}
    made = await asyncio.gather(
        *(world.ask("doctor", "POST", "Patient", json=new, headers=condition) for _ in range(8))
    )
    for answer in made:
        checked(answer, hapi, set())
    stored = made[0].json()
    racing = [{**stored, "birthDate": f"19{year}-01-01"} for year in range(60, 70)]
    answers = await asyncio.gather(
        *(world.ask("doctor", "PUT", f"Patient/{stored['id']}", json=body) for body in racing)
    )
    for answer in answers:
        checked(answer, hapi, set())
    assert sum(answer.status_code == 200 for answer in answers) == 1


async def test_what_refers_to_a_resource_is_not_named_when_it_cannot_be_deleted(
    world: World, hapi: Stack, people: dict[str, str]
) -> None:
    made = (await world.ask("doctor", "POST", "Patient", json=patient())).json()
    referrer = await world.ask(
        "doctor", "POST", "ServiceRequest", json=order(f"Patient/{made['id']}", people["doctor"])
    )
    assert referrer.status_code == 201
    answer = await world.ask("admin", "DELETE", f"Patient/{made['id']}", headers={"If-Match": 'W/"1"'})
    assert answer.status_code == 409
    checked(answer, hapi, {referrer.json()["id"]})
