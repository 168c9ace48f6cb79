"""A store that keeps AuditEvents as HAPI does: the same event again changes nothing, another one is refused.

Only the transport is replaced; the flows against real HAPI are the tests marked `server`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from facade.audit.access import AccessLog
from facade.audit.chain import load_signer
from facade.audit.settings import AuditSettings
from facade.audit.shipper import Shipper
from facade.audit.state import StateDir
from facade.hapi import HAPIClient


class Store:
    """AuditEvents by id, and the references that exist."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.existing: set[str] = set()
        self.puts: list[str] = []
        self.is_down = False
        self.refuse_literal_to: str | None = None  # HAPI answers 400 to an event with this reference
        self.refuse_always: str | None = None  # ... and to one that holds this text at all

    def client(self) -> HAPIClient:
        return HAPIClient("http://hapi.test/fhir", "secret", transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("down")
        if request.method == "GET":
            return self._search(request)
        bundle = json.loads(request.content)
        if bundle["type"] == "batch":
            entries = []
            for entry in bundle["entry"]:
                target = entry["request"]["url"].split("?")[0]
                entries.append({"response": {"status": "200 OK" if target in self.existing else "404"}})
            return httpx.Response(200, json={"resourceType": "Bundle", "entry": entries})
        return self._transaction(bundle)

    def _transaction(self, bundle: dict[str, Any]) -> httpx.Response:
        if all(entry["request"]["method"] == "DELETE" for entry in bundle["entry"]):
            for entry in bundle["entry"]:
                del self.events[entry["request"]["url"].removeprefix("AuditEvent/")]
            return httpx.Response(200, json={"resourceType": "Bundle", "entry": []})
        for entry in bundle["entry"]:
            event = entry["resource"]
            text = json.dumps(event)
            if self.refuse_literal_to and f'"reference": "{self.refuse_literal_to}"' in text:
                return httpx.Response(400, json={"resourceType": "OperationOutcome"})
            if self.refuse_always and self.refuse_always in text:
                return httpx.Response(422, json={"resourceType": "OperationOutcome"})
            stored = self.events.get(event["id"])
            if stored is not None and _content(stored) != _content(event):
                return httpx.Response(403, json={"resourceType": "OperationOutcome"})
        for entry in bundle["entry"]:
            event = entry["resource"]
            self.puts.append(event["id"])
            self.events.setdefault(event["id"], {**event, "meta": {"versionId": "1"}})
        return httpx.Response(200, json={"resourceType": "Bundle", "entry": []})

    def _search(self, request: httpx.Request) -> httpx.Response:
        params = request.url.params
        if (name := request.url.path.rpartition("/")[2]) in self.events:
            return httpx.Response(200, json=self.events[name])
        if params.get("_summary") == "count":
            return httpx.Response(200, json={"resourceType": "Bundle", "total": len(self.events)})
        found = sorted(self.events.values(), key=lambda event: str(event["id"]))
        if "_id" in params:
            wanted = set(params["_id"].split(","))
            found = [event for event in found if event["id"] in wanted]
        start, count = int(params["_offset"]), int(params["_count"])
        entries = [{"resource": event} for event in found[start : start + count]]
        return httpx.Response(200, json={"resourceType": "Bundle", "entry": entries})


def _content(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "meta"}


class Bench:
    """One installation's audit folders and key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store()
        self.spool = folder / "spool"
        self.state = folder / "state"
        self.key = folder / "key.pem"
        self.socket = folder / "access.sock"
        private = ec.generate_private_key(ec.SECP256R1())
        self.key.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.access: AccessLog | None = None

    def settings(self, **more: Any) -> AuditSettings:
        given: dict[str, Any] = {
            "hapi_url": "http://hapi.test/fhir",
            "hapi_secret": "secret",
            "spool_dir": self.spool,
            "state_dir": self.state,
            "key": self.key,
            "syslog_socket": self.socket,
            "batch": 5,
            "rate_per_s": 100_000,
            "poll_s": 0.01,
        }
        return AuditSettings(**{**given, **more})

    def shipper(self, **more: Any) -> Shipper:
        settings = self.settings(**more)
        if self.access is None:
            self.access = AccessLog(self.socket)
        return Shipper(
            settings, self.store.client(), load_signer(self.key), StateDir(self.state), self.access
        )

    def request_ids(self) -> list[str]:
        """Request ids of the stored events in the trail's order."""
        events = [self.store.events[name] for name in sorted(self.store.events)]
        return [event["entity"][-1]["what"]["identifier"]["value"] for event in events]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Bench]:
    """Empty folders, a key and an empty store."""
    bench = Bench(tmp_path)
    yield bench
    if bench.access is not None:
        bench.access.close()
