"""JSON Patch, conditional reads and writes, HEAD, OPTIONS and Prefer, on the real HAPI."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.facade.world import MRN, World, code_of, observation, order, patient

pytestmark = pytest.mark.server

PATCH = {"Content-Type": "application/json-patch+json"}
OTHER = "urn:demo:order"


async def _order(world: World, people: dict[str, str], **more: Any) -> dict[str, Any]:
    made = await world.ask(
        "doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"], **more)
    )
    assert made.status_code == 201, made.text
    body: dict[str, Any] = made.json()
    return body


async def test_a_patch_changes_the_version_that_was_read(world: World, people: dict[str, str]) -> None:
    path = f"ServiceRequest/{(await _order(world, people))['id']}"
    steps = [{"op": "test", "path": "/status", "value": "active"}]
    steps.append({"op": "replace", "path": "/status", "value": "on-hold"})
    bare = await world.ask("doctor", "PATCH", path, json=steps, headers=PATCH)
    assert (bare.status_code, code_of(bare)) == (428, "ERR_302")
    stale = await world.ask("doctor", "PATCH", path, json=steps, headers={**PATCH, "If-Match": 'W/"7"'})
    assert (stale.status_code, code_of(stale)) == (412, "ERR_301")
    done = await world.ask("doctor", "PATCH", path, json=steps, headers={**PATCH, "If-Match": 'W/"1"'})
    assert (done.status_code, done.json()["status"], done.headers["etag"]) == (200, "on-hold", 'W/"2"')
    again = await world.ask("doctor", "PATCH", path, json=steps, headers={**PATCH, "If-Match": 'W/"2"'})
    assert (again.status_code, code_of(again)) == (422, "ERR_103")
    assert "on-hold" not in again.text, "the library's words quote the record"


@pytest.mark.parametrize(
    "kind",
    ["application/fhir+json", "application/merge-patch+json", "application/xml-patch+xml", "text/plain"],
)
async def test_other_patches_are_415(world: World, people: dict[str, str], kind: str) -> None:
    path = f"ServiceRequest/{(await _order(world, people))['id']}"
    sent = {"Content-Type": kind, "If-Match": 'W/"1"'}
    answer = await world.ask("doctor", "PATCH", path, json=[], headers=sent)
    assert (answer.status_code, code_of(answer)) == (415, "ERR_105")


async def test_a_patch_keeps_every_rule_of_a_put(world: World, people: dict[str, str]) -> None:
    made = await _order(world, people)
    path, now = f"ServiceRequest/{made['id']}", {**PATCH, "If-Match": 'W/"1"'}
    for step, code in (
        ({"op": "remove", "path": "/code"}, "ERR_103"),
        ({"op": "replace", "path": "/id", "value": "mine"}, "ERR_103"),
        ({"op": "replace", "path": "/resourceType", "value": "Patient"}, "ERR_103"),
        ({"op": "replace", "path": "", "value": {}}, "ERR_103"),
        ({"op": "replace", "path": "/subject/reference", "value": "Patient/nobody"}, "ERR_108"),
        ({"op": "add", "path": "/colour", "value": "red"}, "ERR_103"),
        ({"op": "colour", "path": "/status"}, "ERR_101"),
    ):
        answer = await world.ask("doctor", "PATCH", path, json=[step], headers=now)
        assert code_of(answer) == code, (step, answer.text)
    doubling = [{"op": "add", "path": "/note", "value": [{"text": "x" * 1000}]}]
    doubling += [{"op": "copy", "from": "/note", "path": "/note/-"} for _ in range(60)]
    answer = await world.ask("doctor", "PATCH", path, json=doubling, headers=now)
    assert answer.status_code in (400, 413)
    foreign = f"ServiceRequest/{uuid4()}"
    answer = await world.ask(
        "doctor", "PATCH", foreign, json=[{"op": "remove", "path": "/code"}], headers=now
    )
    assert (answer.status_code, code_of(answer)) == (404, "ERR_201")
    report = await world.ask("rib", "POST", "DiagnosticReport", json={
        "resourceType": "DiagnosticReport", "status": "preliminary", "code": {"text": "MR"},
        "subject": {"reference": people["own"]},
    })  # fmt: skip
    sign = [{"op": "replace", "path": "/status", "value": "final"}]
    answer = await world.ask(
        "rib", "PATCH", f"DiagnosticReport/{report.json()['id']}", json=sign, headers=now
    )
    assert code_of(answer) == "ERR_402"


async def test_a_read_may_depend_on_the_version_or_the_time(world: World, people: dict[str, str]) -> None:
    path = people["own"]
    first = await world.ask("patient", "GET", path)
    tag, changed = first.headers["etag"], first.headers["last-modified"]
    for given, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f'W/"77", {tag}'}, 304),
        ({"If-None-Match": tag.removeprefix("W/")}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": 'W/"77"'}, 200),
        ({"If-None-Match": 'W/"11"'}, 200),
        ({"If-None-Match": "nonsense"}, 400),
        ({"If-Modified-Since": changed}, 304),
        ({"If-Modified-Since": format_datetime(datetime.now(UTC) - timedelta(days=9), usegmt=True)}, 200),
        ({"If-Modified-Since": "nonsense"}, 200),
        ({"If-Modified-Since": changed, "If-None-Match": 'W/"77"'}, 200),
    ):
        answer = await world.ask("patient", "GET", path, headers=given)
        assert answer.status_code == status, given
        assert bool(answer.content) is (status != 304)
    hidden = await world.ask("patient", "GET", people["foreign"], headers={"If-None-Match": "*"})
    assert hidden.status_code == 404
    version = await world.ask("patient", "GET", f"{path}/_history/1", headers={"If-None-Match": 'W/"1"'})
    assert version.status_code == 304


async def test_head_is_a_get_without_the_body(world: World, people: dict[str, str]) -> None:
    got = await world.ask("patient", "GET", people["own"])
    head = await world.ask("patient", "HEAD", people["own"])
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["etag"] == got.headers["etag"]
    assert (await world.ask("patient", "HEAD", people["foreign"])).status_code == 404


async def test_options_says_what_an_address_takes(world: World) -> None:
    answer = await world.ask(None, "OPTIONS", "Patient/1")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
    assert answer.headers["accept-patch"] == "application/json-patch+json"
    assert (await world.ask(None, "OPTIONS", "Subscription/1")).status_code == 404
    everything = await world.ask(None, "OPTIONS", "Patient/1/$everything")
    assert everything.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_the_client_says_what_comes_back(world: World, people: dict[str, str]) -> None:
    for prefer, kind in (
        ("minimal", None),
        ("representation", "Patient"),
        ("OperationOutcome", "OperationOutcome"),
    ):
        answer = await world.ask(
            "admin", "POST", "Patient", json=patient(), headers={"Prefer": f"return={prefer}"}
        )
        assert answer.status_code == 201
        assert "/_history/1" in answer.headers["location"]
        assert (answer.json()["resourceType"] if answer.content else None) == kind


async def test_a_conditional_update_makes_one_or_replaces_one(world: World, people: dict[str, str]) -> None:
    value = uuid4().hex
    body = order(people["own"], people["doctor"], identifier=[{"system": OTHER, "value": value}])
    path = f"ServiceRequest?identifier={OTHER}|{value}"
    made = await world.ask("doctor", "PUT", path, json=body)
    assert made.status_code == 201, made.text
    again = await world.ask("doctor", "PUT", path, json=body | {"priority": "urgent"})
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    assert again.headers["etag"] == 'W/"2"'
    stale = await world.ask("doctor", "PUT", path, json=body, headers={"If-Match": 'W/"1"'})
    assert (stale.status_code, code_of(stale)) == (412, "ERR_301")
    step = [{"op": "replace", "path": "/priority", "value": "stat"}]
    patched = await world.ask("doctor", "PATCH", path, json=step, headers=PATCH)
    assert (patched.status_code, patched.json()["priority"]) == (200, "stat")
    nothing = await world.ask("doctor", "PATCH", f"{path}x", json=step, headers=PATCH)
    assert nothing.status_code == 404
    chosen = await world.ask("doctor", "PUT", f"{path}y", json=body | {"id": "mine"})
    assert (chosen.status_code, code_of(chosen)) == (400, "ERR_101")
    other = order(people["own"], people["doctor"], identifier=[{"system": OTHER, "value": value}])
    assert (await world.ask("doctor", "POST", "ServiceRequest", json=other)).status_code == 201
    for method, sent, headers in (("PUT", body, {}), ("PATCH", step, PATCH), ("POST", other, None)):
        address = "ServiceRequest" if method == "POST" else path
        given = {"If-None-Exist": f"identifier={OTHER}|{value}"} if headers is None else headers
        answer = await world.ask("doctor", method, address, json=sent, headers=given)
        assert (answer.status_code, code_of(answer)) == (412, "ERR_303"), method


async def test_of_many_conditional_updates_at_once_one_makes_and_all_are_stored(
    world: World, people: dict[str, str]
) -> None:
    value = uuid4().hex
    body = order(people["own"], people["doctor"], identifier=[{"system": OTHER, "value": value}])
    path = f"ServiceRequest?identifier={OTHER}|{value}"
    answers = await asyncio.gather(
        *(world.ask("doctor", "PUT", path, json=body | {"note": [{"text": f"{n}"}]}) for n in range(4))
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes.count(201) == 1, codes
    assert set(codes) <= {200, 201, 409}
    count = await world.ask("doctor", "GET", f"{path}&_summary=count")
    assert count.json()["total"] == 1


async def test_two_conditional_creates_that_both_found_nothing_make_one(
    world: World, people: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have looked before either writes: only the store's own condition is left between them."""
    value = uuid4().hex
    body = order(people["own"], people["doctor"], identifier=[{"system": OTHER, "value": value}])
    both, write = asyncio.Barrier(2), world.services.spool.write

    async def together(*events: dict[str, Any]) -> None:
        async with asyncio.timeout(20):
            await both.wait()  # before the intents, and before the outcomes
        await write(*events)

    monkeypatch.setattr(world.services.spool, "write", together)
    given = {"If-None-Exist": f"identifier={OTHER}|{value}"}
    answers = await asyncio.gather(
        *(world.ask("doctor", "POST", "ServiceRequest", json=body, headers=given) for _ in range(2))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_condition_looks_at_what_the_caller_sees_only(world: World, people: dict[str, str]) -> None:
    """A nurse's scope of one category: a hidden match is no match, and makes no difference to be seen."""
    value = uuid4().hex
    names = {"identifier": [{"system": OTHER, "value": value}]}
    hidden = await world.ask(
        "lab", "POST", "Observation", json=observation(people["own"], "laboratory", **names)
    )
    assert hidden.status_code == 201, hidden.text
    scope = "user/Observation.cruds?category=vital-signs user/Observation.cruds?code=8867-5 user/Patient.rs"
    await world.sign_in(f"narrow-{value}", "nurse", scope=f"openid {scope}", fhir_user=people["nurse"])
    body = observation(people["own"], **names)
    for criteria in (f"identifier={OTHER}|{value}", f"identifier={OTHER}|{value}&status=final"):
        sent = body | {"note": [{"text": criteria}]}
        given = {"If-None-Exist": criteria}
        answers = await asyncio.gather(
            *(world.ask(f"narrow-{value}", "POST", "Observation", json=sent, headers=given) for _ in range(3))
        )
        assert {answer.json()["id"] for answer in answers}.isdisjoint({hidden.json()["id"]})
        assert len({answer.json()["id"] for answer in answers}) == 1
    step = [{"op": "replace", "path": "/status", "value": "amended"}]
    patched = await world.ask(
        f"narrow-{value}", "PATCH", f"Observation?identifier={OTHER}|{value}", json=step, headers=PATCH
    )
    assert patched.status_code == 200, "the hidden one is not a second match"


async def test_a_conditional_delete_is_the_administrator_s_and_of_one(world: World) -> None:
    body = patient()
    path = f"Patient?identifier={MRN}|{body['identifier'][0]['value']}"
    made = await world.ask("admin", "POST", "Patient", json=body)
    assert (await world.ask("doctor", "DELETE", path, headers={"If-Match": 'W/"1"'})).status_code == 403
    bare = await world.ask("admin", "DELETE", path)
    assert (bare.status_code, code_of(bare)) == (428, "ERR_302")
    done = await world.ask("admin", "DELETE", path, headers={"If-Match": 'W/"1"'})
    assert done.status_code == 204
    assert (await world.ask("admin", "GET", f"Patient/{made.json()['id']}")).status_code == 404
    assert (await world.ask("admin", "DELETE", path, headers={"If-Match": 'W/"1"'})).status_code == 404
    assert (await world.ask("admin", "DELETE", "Patient")).status_code == 405


async def test_who_may_not_search_learns_nothing_by_a_condition(world: World, people: dict[str, str]) -> None:
    await world.sign_in(
        "writer", "doctor", scope="openid user/ServiceRequest.cru", fhir_user=people["doctor"]
    )
    body = order(people["own"], people["doctor"])
    for method, path, headers in (
        ("PUT", "ServiceRequest?status=active", {}),
        ("PATCH", "ServiceRequest?status=active", PATCH),
        ("POST", "ServiceRequest", {"If-None-Exist": "status=active"}),
    ):
        answer = await world.ask("writer", method, path, json=body, headers=headers)
        assert (answer.status_code, code_of(answer)) == (403, "ERR_003"), method
