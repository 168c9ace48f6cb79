"""A facade in this process in front of the real HAPI, with one person of each role and two patients."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from redis.asyncio import Redis

from facade.hapi import HAPIClient
from tests.facade import door as door_module
from tests.facade import stored
from tests.facade.door import Door
from tests.facade.stored import Images
from tests.facade.world import World, opened, patient
from tests.servers.stack import Stack
from tests.smart_auth.quick import cheap_secrets, made_keys  # noqa: F401


@pytest.fixture(scope="session")
async def redis(redis_server: Any) -> AsyncIterator[Redis]:
    """A Redis database that nothing else uses."""
    client = Redis.from_url(redis_server.redis_url, db=12)
    await client.flushdb()
    yield client
    await client.flushdb()
    await client.aclose()


@pytest.fixture(scope="session")
async def workers(hapi: Any) -> AsyncIterator[HAPIClient]:
    """HAPI as the workers see it: what only they may write."""
    async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-workers"], exact=True) as client:
        yield client


@pytest.fixture(scope="session")
async def people(hapi: Any) -> AsyncIterator[dict[str, str]]:
    """References of what the people of the tests belong to."""
    async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-facade"]) as client:
        made: dict[str, str] = {}
        for name in ("doctor", "rib", "lab", "nurse"):
            stored = await client.create({"resourceType": "Practitioner", "name": [{"text": f"Demo {name}"}]})
            made[name] = f"Practitioner/{stored['id']}"
        for name in ("own", "foreign"):
            made[name] = f"Patient/{(await client.create(patient(f'Demo^{name}')))['id']}"
        stored = await client.create({"resourceType": "Organization", "name": "Demo Other Hospital"})
        made["organization"] = f"Organization/{stored['id']}"
        yield made


@pytest.fixture(scope="session")
def facade_with(
    hapi: Any, redis: Redis, keys_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractAsyncContextManager[World]]:
    """A facade of its own in front of the real HAPI, with these settings."""

    def opening(**changes: Any) -> AbstractAsyncContextManager[World]:
        directory, secret = tmp_path_factory.mktemp("facade"), hapi.secrets["hapi-facade"]
        return opened(
            directory, redis, hapi_url=hapi.hapi_url, hapi_secret=secret, keys_dir=keys_dir, **changes
        )

    return opening


@pytest.fixture(scope="session")
async def world(
    facade_with: Callable[..., AbstractAsyncContextManager[World]], people: dict[str, str]
) -> AsyncIterator[World]:
    """The facade with everybody signed in by the code flow."""
    async with facade_with() as facade:
        await facade.sign_in("admin", "admin")
        for name in ("doctor", "rib", "lab", "nurse"):
            await facade.sign_in(name, name, fhir_user=people[name])
        await facade.sign_in("patient", "patient", fhir_user=people["own"])
        await facade.sign_in("external", "external", organization=people["organization"].split("/")[1])
        yield facade


@pytest.fixture(scope="session")
async def _door(servers: Stack) -> AsyncIterator[Door]:
    """Made once: a study goes in by STOW and is converted."""
    servers.need(*door_module.PROGRAMS)
    async with HAPIClient(servers.hapi_url, servers.secrets["hapi-facade"]) as client:
        async with door_module.opened(servers, client) as made:
            yield made


@pytest.fixture(scope="module")
def door(servers: Stack, _door: Door) -> Door:
    """A study behind nginx, with every program of its way running."""
    servers.need(*door_module.PROGRAMS)
    return _door


@pytest.fixture
async def images(world: World, workers: HAPIClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Images]:
    async with stored.opened(world, workers, monkeypatch) as made:
        yield made


@pytest.fixture(scope="module")
def dicomweb_client(door: Door) -> DICOMwebClient:
    """dicomweb-client with the doctor's session."""
    session = requests.Session()
    session.headers.update({name: door.doctor.headers[name] for name in ("Origin", "X-CSRF-Token")})
    session.cookies.update(dict(door.doctor.cookies))
    return DICOMwebClient(f"{door.base_url}/dicom-web", session=session)
