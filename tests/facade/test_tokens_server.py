"""Tokens at the door, every route behind it, and what happens when HAPI or the spool fails."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis
from starlette.routing import BaseRoute, Mount, Route

from facade.hapi import HAPIClient
from smart_auth import users
from smart_auth.keys import Keys
from smart_auth.tokens import Issuer, Subject
from tests.facade.world import World, code_of, ids, observation, opened
from tests.smart_auth.flow import AUDIENCE, ORIGIN

pytestmark = pytest.mark.server
OPEN = {"/fhir/metadata", "/fhir/.well-known/smart-configuration", "/health/live", "/health/ready"} | {
    "/docs",
    "/openapi.json",
}


def forged(keys: Keys, lifetime_s: int = 600, audience: str = AUDIENCE, **claims: Any) -> dict[str, str]:
    subject = Subject(client_id="demo-app", role="admin", scope="system/*.cruds", **claims)
    token, _ = Issuer(keys, f"{ORIGIN}/auth", audience).access_token(subject, lifetime_s)
    return {"Authorization": f"Bearer {token}"}


async def test_expired_foreign_and_mutilated_tokens_are_401(
    world: World, people: dict[str, str], tmp_path: Path
) -> None:
    ours = world.services.auth.keys
    good = forged(ours)["Authorization"]
    for name, header in {
        "expired": forged(ours, -60)["Authorization"],
        "another audience": forged(ours, audience="https://elsewhere.example/fhir")["Authorization"],
        "another key": forged(Keys(tmp_path / "foreign"))["Authorization"],
        "cut": good[:-8],
        "no signature": good.rpartition(".")[0] + ".",
        "basic": "Basic dXNlcjpwYXNzd29yZA==",
    }.items():
        answer = await world.ask(None, "GET", people["own"], headers={"Authorization": header})
        assert (answer.status_code, code_of(answer)) == (401, "ERR_002"), name
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_token_is_taken_from_the_header_alone(world: World, people: dict[str, str]) -> None:
    token = world.tokens["doctor"]["Authorization"].removeprefix("Bearer ")
    answer = await world.ask(None, "GET", f"{people['own']}?access_token={token}")
    assert answer.status_code == 401


async def test_a_logged_out_user_loses_access_within_a_second(world: World, people: dict[str, str]) -> None:
    await world.sign_in("leaving", "nurse", fhir_user=people["nurse"])
    assert (await world.ask("leaving", "GET", people["own"])).status_code == 200
    user = users.find(world.services.auth.database, "leaving")
    assert user is not None
    users.set_disabled(world.services.auth.database, user.id, disabled=True, actor=None)
    async with asyncio.timeout(2):
        while (await world.ask("leaving", "GET", people["own"])).status_code != 401:
            continue


async def test_a_narrow_scope_is_narrower_than_the_role(world: World, people: dict[str, str]) -> None:
    await world.sign_in(
        "narrow", "doctor", scope="openid user/Observation.rs?category=laboratory", fhir_user=people["doctor"]
    )
    assert (await world.ask("narrow", "GET", people["own"])).status_code == 403
    await world.ask("nurse", "POST", "Observation", json=observation(people["own"], "vital-signs"))
    await world.ask("lab", "POST", "Observation", json=observation(people["own"], "laboratory"))
    found = await world.ask("narrow", "GET", f"Observation?subject={people['own']}")
    categories = {entry["resource"]["category"][0]["coding"][0]["code"] for entry in found.json()["entry"]}
    assert categories == {"laboratory"}


async def test_a_granular_scope_narrows_everything_that_can_be_asked(
    world: World, people: dict[str, str]
) -> None:
    """A nurse may see and write vital signs; this app of theirs may do so by one code alone."""
    mark = {"identifier": [{"system": "urn:test:granular", "value": uuid4().hex}]}
    other = {"coding": [{"system": "http://loinc.org", "code": "8867-5"}]}
    body = observation(people["own"], **mark)
    made = [
        await world.ask("nurse", "POST", "Observation", json=body | more) for more in ({}, {"code": other})
    ]
    inside, outside = (f"Observation/{answer.json()['id']}" for answer in made)
    scope = "openid user/Patient.rs user/Observation.cruds?code=8867-4"
    await world.sign_in("granular", "nurse", scope=scope, fhir_user=people["nurse"])

    async def status(method: str, path: str, **more: Any) -> int:
        return (await world.ask("granular", method, path, **more)).status_code

    assert [await status("GET", path) for path in (inside, outside)] == [200, 404]
    assert [await status("GET", f"{path}/_history/1") for path in (inside, outside)] == [200, 404]
    where = f"identifier=urn:test:granular|{mark['identifier'][0]['value']}"
    found = await world.ask("granular", "GET", f"Observation?{where}")
    assert ids(found) == {inside}
    back = await world.ask(
        "granular", "GET", f"Patient?_id={people['own'][8:]}&_revinclude=Observation:subject"
    )
    assert inside in ids(back, "include")
    assert outside not in ids(back, "include")
    assert await status("POST", "Observation", json=observation(people["own"])) == 201
    assert await status("POST", "Observation", json=observation(people["own"], code=other)) == 403
    step = [{"op": "replace", "path": "/status", "value": "amended"}]
    headers = {"Content-Type": "application/json-patch+json", "If-Match": 'W/"1"'}
    assert await status("PATCH", outside, json=step, headers=headers) == 404
    away = [{"op": "replace", "path": "/code", "value": other}]
    assert await status("PATCH", inside, json=away, headers=headers) == 403
    assert await status("PATCH", inside, json=step, headers=headers) == 200
    reads = [{"request": {"method": "GET", "url": url}} for url in (inside, outside, f"Observation?{where}")]
    writes = [
        {"request": {"method": "POST", "url": "Observation"}, "resource": observation(people["own"], **more)}
        for more in ({}, {"code": other})
    ]
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [*reads, *writes]}
    entries = (await world.ask("granular", "POST", "", json=batch)).json()["entry"]
    assert [entry["response"]["status"][:3] for entry in entries] == ["200", "404", "200", "201", "403"]
    assert [one["resource"]["id"] for one in entries[2]["resource"]["entry"]] == [inside.split("/")[1]]


async def test_every_route_asks_who_is_there(world: World, redis: Redis, tmp_path: Path) -> None:
    async with opened(tmp_path, redis) as other:
        for path, method in _routes(other):
            async with other.browser() as browser:
                answer = await browser.request(method, path)
            if path in OPEN or path.startswith("/auth/"):
                continue
            assert answer.status_code == 401, f"{method} {path} answered {answer.status_code}"


def _routes(world: World) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def collect(routes: list[BaseRoute], prefix: str) -> None:
        for route in routes:
            if isinstance(route, Mount):
                collect(route.routes, prefix + route.path)
            elif isinstance(route, Route):
                path = prefix + route.path
                for name, example in {
                    "{rest:path}": "Patient/1",
                    "{study}": "1.2.3",
                    "{series}": "1.2.4",
                    "{instance}": "1.2.5",
                    "{frames}": "1",
                }.items():
                    path = path.replace(name, example)
                # OPTIONS says what the open CapabilityStatement says.
                found.extend(
                    (path, method)
                    for method in sorted(route.methods or ())
                    if method not in ("HEAD", "OPTIONS")
                )

    collect(world.arrival.app.routes, "")  # type: ignore[attr-defined]
    return found


async def test_hapi_down_is_503_and_the_rest_goes_on(redis: Redis, tmp_path: Path, keys_dir: Path) -> None:
    async with opened(tmp_path, redis, keys_dir=keys_dir, breaker_failures=2) as alone:
        await alone.sign_in("admin", "admin")
        for _ in range(4):
            answer = await alone.ask("admin", "GET", "Patient/1")
            assert (answer.status_code, code_of(answer)) == (503, "ERR_502")
            assert answer.headers["retry-after"]
        assert (await alone.ask(None, "GET", "metadata")).status_code == 200
        async with alone.browser() as browser:
            assert (await browser.get("/health/live")).status_code == 200
            ready = await browser.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["dependencies"] == {"hapi": "down", "redis": "ok", "auth": "ok", "audit": "ok"}


async def test_what_cannot_be_recorded_is_not_answered(
    hapi: Any, redis: Redis, tmp_path: Path, keys_dir: Path, people: dict[str, str]
) -> None:
    async with opened(
        tmp_path, redis, hapi_url=hapi.hapi_url, hapi_secret=hapi.secrets["hapi-facade"], keys_dir=keys_dir
    ) as facade:
        await facade.sign_in("admin", "admin")
        blocked = tmp_path / "spool"
        # A file in the folder's place: no segment can be made any more, whoever runs the test.
        facade.services.spool.close()
        for segment in blocked.iterdir():
            segment.unlink()
        blocked.rmdir()
        blocked.write_bytes(b"")
        for method, path, body in (
            ("GET", people["own"], None),
            ("GET", "Patient/none", None),
            ("POST", "Patient", {"resourceType": "Patient", "name": [{"text": "Demo unrecorded"}]}),
        ):
            answer = await facade.ask("admin", method, path, json=body)
            assert (answer.status_code, code_of(answer)) == (503, "ERR_590"), path
    async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-facade"]) as client:
        page = await client.search("Patient", [("name", "unrecorded")])
    assert "entry" not in page, "nothing is written that cannot be recorded"


async def test_the_capability_statement_states_what_is_offered(world: World) -> None:
    answer = await world.ask(None, "GET", "metadata")
    rest = answer.json()["rest"][0]
    types = {resource["type"]: resource for resource in rest["resource"]}
    assert "Subscription" not in types
    assert [i["code"] for i in types["ImagingStudy"]["interaction"]] == [
        "read",
        "vread",
        "history-instance",
        "search-type",
        "history-type",
    ]
    assert [operation["name"] for operation in types["Task"]["operation"]] == ["meta", "review", "validate"]
    uris = rest["security"]["extension"][0]["extension"]
    smart = (await world.ask(None, "GET", ".well-known/smart-configuration")).json()
    assert {row["url"]: row["valueUri"] for row in uris} == {
        "authorize": smart["authorization_endpoint"],
        "token": smart["token_endpoint"],
        "register": smart["registration_endpoint"],
        "manage": smart["management_endpoint"],
        "introspect": smart["introspection_endpoint"],
        "revoke": smart["revocation_endpoint"],
    }
    assert {"url": "token", "valueUri": f"{ORIGIN}/auth/token"} in uris
    for resource in types.values():
        for parameter in resource["searchParam"]:
            assert parameter["name"] not in ("_filter", "_query", "_content", "_text", "_list")


async def test_the_other_interfaces_are_described_from_their_routes(world: World) -> None:
    async with world.browser() as browser:
        body = (await browser.get("/openapi.json")).json()
        shown = await browser.get("/docs")
    assert body["openapi"].startswith("3.1")
    assert body["paths"]["/auth/token"]["post"]["summary"]
    studies = [path for path in body["paths"] if path.startswith("/dicom-web/studies/{study}")]
    assert studies
    assert all(body["paths"][path]["get"]["security"] for path in studies if "get" in body["paths"][path])
    assert "/auth/token" in shown.text
    assert not [part for part in ("<script", "http://", "https://", "src=") if part in shown.text]


async def test_an_unexpected_failure_shows_nothing(redis: Redis, tmp_path: Path, keys_dir: Path) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError("Demo^Patient One lives in a stack trace")

    transport = httpx.MockTransport(broken)
    async with opened(tmp_path, redis, keys_dir=keys_dir, transport=transport) as facade:
        await facade.sign_in("admin", "admin")
        with contextlib.suppress(ZeroDivisionError):
            answer = await facade.ask("admin", "GET", "Patient/1")
    assert (answer.status_code, code_of(answer)) == (500, "ERR_500")
    assert "Demo" not in answer.text
    assert facade.trail()[-1]["event"]["outcome"] == "8"
