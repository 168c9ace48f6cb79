"""The suite against the facade in this process, with the real HAPI behind it: every upstream call is seen."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit
from uuid import uuid4

import httpx
from httpx_aiohttp import AiohttpTransport
from redis.asyncio import Redis
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from facade.errors import HAPIConflictError
from facade.hapi import HAPIClient
from facade.routes import images
from smart_auth import users
from smart_auth.compartment import SUBJECTS
from smart_auth.tokens import Issuer, Subject
from tests.escape.oracle import Answer
from tests.escape.record import Resource
from tests.escape.suite import Caller, Suite
from tests.escape.worlds import Case, Writer, build
from tests.facade.world import World, opened
from tests.smart_auth.flow import new_user

_WRITER = {"ImagingStudy": "hapi-workers", "Endpoint": "hapi-workers", "AuditEvent": "hapi-shipper"}
_MOST_TRIES = 10
_T = TypeVar("_T")
_ID = re.compile(r"/[A-Za-z0-9.-]*[0-9-][A-Za-z0-9.-]*")


class Watched(httpx.AsyncBaseTransport):
    """The facade's way to HAPI, with a note of the kind of each call under its request id."""

    def __init__(self) -> None:
        self._inner = AiohttpTransport()
        self._calls: dict[str, list[str]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Note it and pass it on."""
        kept = self._calls.setdefault(request.headers.get("x-request-id", ""), [])
        names = sorted({name for name, _ in parse_qsl(request.url.query.decode(), keep_blank_values=True)})
        kept.append(f"{request.method} {_ID.sub('/*', request.url.path)} {' '.join(names)}".strip())
        return await self._inner.handle_async_request(request)

    def taken(self, request_id: str) -> tuple[str, ...]:
        """What one request needed; the order does not count, because some go out at once."""
        return tuple(sorted(self._calls.pop(request_id, [])))

    async def aclose(self) -> None:
        """Close the pool."""
        await self._inner.aclose()


class InsideDoor:
    """ASGI, without a client that would tidy the address up."""

    def __init__(self, world: World, watched: Watched) -> None:
        self.world, self._watched = world, watched

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request as uvicorn would hand it on."""
        request_id = uuid4().hex
        path, _, query = target.partition("?")
        sent = {
            "host": "localhost:8080",
            "x-forwarded-for": "192.0.2.1",
            "x-request-id": request_id,
            **headers,
        }
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "surrogateescape"),
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 8080),
        }
        given = iter([{"type": "http.request", "body": body, "more_body": False}])
        said: list[Any] = []

        async def receive() -> Any:
            return next(given, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            said.append(message)

        await self.world.app(scope, receive, send)
        start = next(message for message in said if message["type"] == "http.response.start")
        content = b"".join(m.get("body", b"") for m in said if m["type"] == "http.response.body")
        answered = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(start["status"], answered, content, self._watched.taken(request_id))


@asynccontextmanager
async def suite(stack: Any, redis: Redis, directory: Path, keys_dir: Path) -> AsyncIterator[Suite]:
    """A facade of its own, two cases in HAPI, and a token of each kind for each world."""
    async with AsyncExitStack() as held:
        clients = {
            name: await held.enter_async_context(HAPIClient(stack.hapi_url, stack.secrets[name]))
            for name in ("hapi-facade", "hapi-workers", "hapi-shipper")
        }
        watched = Watched()
        # An answer that is kept for a second would hide that the next caller's question looks something up.
        held.callback(setattr, images, "KEEP_S", images.KEEP_S)
        images.KEEP_S = 0.0
        world = await held.enter_async_context(
            opened(
                directory,
                redis,
                hapi_url=stack.hapi_url,
                hapi_secret=stack.secrets["hapi-facade"],
                keys_dir=keys_dir,
                transport=watched,
            )
        )
        writer = writer_to(clients)
        hidden = await build(writer, drafts_in_both=False)
        staff = await build(writer, drafts_in_both=True)
        yield Suite(
            InsideDoor(world, watched),
            callers(world, hidden, staff),
            is_short=not os.environ.get("ESCAPE_WHOLE"),
        )


def writer_to(clients: Mapping[str, HAPIClient]) -> Writer:
    """Straight into HAPI, each type by the program that may write it."""

    def of(resource: Resource) -> HAPIClient:
        return clients[_WRITER.get(resource["resourceType"], "hapi-facade")]

    async def create(resource: Resource) -> Resource:
        return await _unraced(lambda: of(resource).create(resource))

    async def update(resource: Resource) -> Resource:
        return await _unraced(lambda: of(resource).update(resource))

    async def delete(resource: Resource) -> None:
        await _unraced(lambda: of(resource).delete(resource["resourceType"], resource["id"]))

    return Writer(create, update, delete)


async def _unraced(write: Callable[[], Awaitable[_T]]) -> _T:
    """Write again when HAPI could not do two writes at once (409: nothing was written)."""

    async def once() -> _T:
        return await write()

    again = AsyncRetrying(
        retry=retry_if_exception_type(HAPIConflictError),
        stop=stop_after_attempt(_MOST_TRIES),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        reraise=True,
    )
    return await again(once)


def callers(world: World, hidden: Case, staff: Case) -> dict[str, Caller]:
    """A token of each kind; issued here, because how a person gets one is tested elsewhere."""
    auth = world.services.auth
    issuer = Issuer(auth.keys, auth.settings.issuer, auth.settings.audience)

    def token(name: str, role: Any, scope: str, patient: str | None = None, **options: Any) -> dict[str, str]:
        user = new_user(auth, f"{name}-{uuid4().hex[:8]}", role, **options)
        found = users.get(auth.database, user)
        assert found is not None
        subject = Subject(
            "demo-app",
            role,
            scope,
            user,
            found.generation,
            options.get("fhir_user"),
            patient,
            options.get("organization"),
        )
        return {"Authorization": f"Bearer {issuer.access_token(subject, 3600)[0]}"}

    def patient(names: Mapping[str, str], scope: str) -> dict[str, str]:
        own = names["own.patient"]
        return token("patient", "patient", scope, own, fhir_user=f"Patient/{own}")

    def hospital(names: Mapping[str, str]) -> dict[str, str]:
        return token("external", "external", "user/*.cruds", organization=names["hospital.organization"])

    def doctor(scope: str, bound: str | None = None) -> dict[str, str]:
        return token("doctor", "doctor", scope, bound, fhir_user="Practitioner/nobody")

    narrow = doctor("user/Observation.rs?category=laboratory")
    pairs = (hidden.world, hidden.twin)
    return {
        "patient": Caller(hidden, *(patient(names, "patient/*.rs") for names in pairs)),
        "external": Caller(hidden, *(hospital(names) for names in pairs)),
        "bound": Caller(
            staff,
            *(doctor("patient/*.cruds", names["own.patient"]) for names in (staff.world, staff.twin)),
            sees_directory=True,
        ),
        "narrow": Caller(staff, narrow, narrow, sees_laboratory=True),
        "unscoped": Caller(hidden, *(patient(names, "openid fhirUser") for names in pairs)),
        "nobody": Caller(hidden, {}, {}),
    }


def request_target(address: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(address)
    return parts.path + (f"?{parts.query}" if parts.query else "")


async def foreign_records(store: HAPIClient, suite: Suite) -> dict[str, str]:
    """Every resource of the patients on the other side, with its version."""
    patients = {caller.case.world["foreign.patient"] for caller in suite.callers.values()}
    found = {}
    for type_, subject in SUBJECTS.items():
        if type_ != "AuditEvent":
            asked = [(subject.parameter, ",".join(sorted(patients)))]
            async for resource in store.search_all(type_, asked):
                found[f"{type_}/{resource['id']}"] = resource["meta"]["versionId"]
    assert len(found) > len(patients), "a record that is not seen cannot be seen to change"
    return found
