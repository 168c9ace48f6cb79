"""What the tests of the facade share: the application over ASGI, people with tokens, small resources."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from facade.app import create_app
from facade.arrival import Arrival
from facade.audit.spool import decode
from facade.settings import FacadeSettings
from facade.state import Services
from smart_auth import clients
from tests.smart_auth.flow import ORIGIN, REDIRECT, Flow, bearer, new_user, settings_for

SCOPE = "openid fhirUser user/*.cruds patient/*.rs launch/patient"
JSON = {"Content-Type": "application/fhir+json"}
MRN = "urn:neuronova:mrn"


@dataclass
class World:
    """One running facade."""

    app: ASGIApp
    services: Services
    spool_dir: Path
    arrival: Arrival
    tokens: dict[str, dict[str, str]] = field(default_factory=dict)
    _records: list[dict[str, Any]] = field(default_factory=list)
    _read: dict[Path, int] = field(default_factory=dict)

    def browser(self) -> httpx.AsyncClient:
        """A client that has nothing yet."""
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"X-Real-IP": "192.0.2.1"})

    async def sign_in(self, username: str, role: str, scope: str | None = None, **options: Any) -> None:
        """Make a login and keep the token that the code flow gives it."""
        new_user(self.services.auth, username, role, **options)
        async with self.browser() as browser:
            default = (
                "openid fhirUser patient/*.rs launch/patient" if role == "patient" else "openid user/*.cruds"
            )
            flow = Flow(browser, parameters={"scope": scope or default})
            self.tokens[username] = bearer(await flow.tokens(username))

    async def ask(
        self,
        who: str | None,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """One request under /fhir, as one of the people or as nobody."""
        sent = {**(self.tokens[who] if who else {}), **(JSON if json is not None else {}), **(headers or {})}
        async with self.browser() as browser:
            return await browser.request(method, f"/fhir/{path}", json=json, headers=sent, content=content)

    def trail(self) -> list[dict[str, Any]]:
        """Every record that is in the audit spool; what was read before is not read again."""
        for segment in sorted(self.spool_dir.glob("*.spool")):
            with segment.open("rb") as file:
                file.seek(self._read.get(segment, 0))
                new = file.read().rstrip(b"\0")
            self._read[segment] = self._read.get(segment, 0) + len(new)
            for line in new.splitlines():
                record = decode(line)
                assert record is not None
                self._records.append(record)
        return list(self._records)


def settings_of(directory: Path, **changes: Any) -> FacadeSettings:
    """Settings of a facade with its files in this folder, and nothing behind it that answers."""
    values: dict[str, Any] = {
        "base_url": ORIGIN,
        "hapi_url": "http://127.0.0.1:9/fhir",
        "hapi_secret": "unused",
        "redis_url": "unix:///unused",
        "pixels_socket": directory / "pixels.sock",
        "stow_dir": directory / "stow",
        "spool_dir": directory / "spool",
        "data_dir": directory / "dicom",
        "receiver_url": "http://127.0.0.1:9",
        "receiver_secret": "unused",
        "signing_key": directory / "report.pem",
        "accel": False,
    }
    return FacadeSettings(**(values | changes))


@asynccontextmanager
async def opened(
    directory: Path,
    redis: Redis,
    *,
    hapi_url: str = "http://127.0.0.1:9/fhir",
    hapi_secret: str = "unused",  # noqa: S107 - nothing is there to be opened
    keys_dir: Path | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    **changes: Any,
) -> AsyncIterator[World]:
    """The facade in this process, with its lifespan."""
    settings = settings_of(directory, hapi_url=hapi_url, hapi_secret=hapi_secret, **changes)
    auth_settings = settings_for(directory, "unix:///unused", **({"keys_dir": keys_dir} if keys_dir else {}))
    arrival = create_app(settings, auth_settings, transport=transport, redis=redis)
    assert isinstance(arrival, Arrival)
    inner = arrival.app
    async with inner.router.lifespan_context(inner) as state:  # type: ignore[attr-defined]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await arrival({**scope, "state": dict(state)}, receive, send)

        services: Services = state["services"]
        clients.register(
            services.auth.database,
            "demo-app",
            kind="public",
            name="Demo",
            scope=SCOPE,
            redirect_uris=[REDIRECT],
            trusted=True,
        )
        services.auth.feed.refresh()
        yield World(app, services, settings.spool_dir, arrival)


def patient(name: str = "Demo^Patient One", **more: Any) -> dict[str, Any]:
    """A Patient with an MRN of its own."""
    family, _, given = name.partition("^")
    return {
        "resourceType": "Patient",
        "identifier": [{"system": MRN, "value": f"T-{uuid4().hex[:12]}"}],
        "name": [{"family": family, "given": [given]}],
        "birthDate": "1970-01-01",
        **more,
    }


def order(patient_ref: str, requester: str, **more: Any) -> dict[str, Any]:
    """An active order of an MR of the brain."""
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "24590-2"}]},
        "subject": {"reference": patient_ref},
        "requester": {"reference": requester},
        **more,
    }


def observation(
    patient_ref: str, category: str = "vital-signs", status: str = "final", **more: Any
) -> dict[str, Any]:
    """An Observation of one category."""
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "status": status,
        "category": [{"coding": [{"system": system, "code": category}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": patient_ref},
        **more,
    }


def code_of(response: httpx.Response) -> str:
    """The product code of an OperationOutcome."""
    body = response.json()
    assert body["resourceType"] == "OperationOutcome", body
    return str(body["issue"][0]["details"]["coding"][0]["code"])


def ids(response: httpx.Response, mode: str = "match") -> set[str]:
    """`Type/id` of a searchset's entries."""
    assert response.status_code == 200, response.text
    return {
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in response.json().get("entry", [])
        if entry["search"]["mode"] == mode
    }
