"""A trail on real servers: records that a process writes, and what the shipper makes of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx

from facade.audit.event import Who, audit_event
from facade.audit.spool import Spool
from facade.audit.verify import VerifyReport, verify
from facade.hapi import HAPIClient
from tests.servers.stack import Stack


def client(stack: Stack, transport: httpx.AsyncBaseTransport | None = None) -> HAPIClient:
    return HAPIClient(stack.hapi_url, stack.secrets["hapi-shipper"], timeout_s=60, transport=transport)


def key(stack: Stack) -> Path:
    return Path(stack.variables("audit-shipper")["FACADE_AUDIT_KEY"])


def write(stack: Stack, run: str, count: int, **more: Any) -> None:
    """Records of one writer that ends, so that its segment can be emptied and removed."""
    who = Who("Practitioner/none", "doctor", "test", "jti", "127.0.0.1")
    spool = Spool(stack.var / "spool", "facade")
    spool.write_sync(
        *(
            audit_event(interaction="read", action="R", who=who, request_id=f"{run}-{number:06d}", **more)
            for number in range(count)
        )
    )
    spool.close()


def drained(stack: Stack) -> bool:
    return not [path for path in (stack.var / "spool").glob("facade.*.spool") if _is_ours(path)]


def _is_ours(path: Path) -> bool:
    """A segment of this test process; the facade's own stays open."""
    return path.name.split(".")[2] == str(os.getpid())


async def events_of(store: HAPIClient, run: str) -> list[dict[str, Any]]:
    """The newest events of a run."""
    newest = await store.search("AuditEvent", [("_sort", "-_lastUpdated")], count=200)
    events = [entry["resource"] for entry in newest.get("entry", [])]
    return [e for e in events if e["entity"][-1]["what"]["identifier"]["value"].startswith(f"{run}-")]


async def check(stack: Stack, transport: httpx.AsyncBaseTransport | None = None) -> VerifyReport:
    async with client(stack, transport) as hapi:
        return await verify(hapi, stack.var / "audit", key(stack))
