"""Somebody with the store's own database at hand changes the trail: verification names it, whatever it was.

HAPI has a database of this test's own, opened so that a second process can write to it while HAPI runs.
"""

# ruff: noqa: S608 - writing SQL is what the attacker does here; every value is this file's own

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from deploy.__main__ import free_ports
from deploy.settings import ROOT, Settings
from facade.audit.event import Who, audit_event
from facade.audit.retention import Removed, retire
from facade.audit.spool import Spool
from facade.audit.verify import verify
from facade.hapi import HAPIClient
from tests.servers.stack import SMALL, Stack, wait_for

pytestmark = pytest.mark.server
EVENTS = 12
WHO = Who("Practitioner/none", "doctor", "viewer", "jti", "192.0.2.1")
(DRIVER,) = (ROOT / "deploy/hapi/target/lib").glob("h2-*.jar")


class Vault:
    """A stack of its own, and SQL in its store."""

    def __init__(self) -> None:
        var = Path(tempfile.mkdtemp(prefix="nn", dir="/tmp"))
        self.url = f"jdbc:h2:file:{var}/hapi/fhir;WRITE_DELAY=0;AUTO_SERVER=TRUE"
        options = (
            SMALL["hapi_java_options"],
            f"-DHAPI_DATABASE_URL={self.url}",
            "-Dh2.bindAddress=127.0.0.1",
            # H2 refuses this setting together with a second process.
            "-Dspring.datasource.hikari.data-source-properties.DB_CLOSE_ON_EXIT=TRUE",
        )
        settings = Settings(var=var, **(SMALL | {"hapi_java_options": " ".join(map(str, options))}))  # type: ignore[arg-type]
        self.stack = Stack(free_ports(settings), is_ours=True)

    def sql(self, statements: str) -> str:
        """Run statements as the database's owner."""
        login = ("-user", "sa", "-password", self.stack.secrets["hapi-database"])
        shell = ("java", "-Dh2.bindAddress=127.0.0.1", "-cp", str(DRIVER), "org.h2.tools.Shell")
        command = [*shell, "-url", self.url, *login, "-sql", statements]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "Error" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done.stdout

    async def first_break(self) -> tuple[str, str | None] | None:
        """What verification says."""
        variables = self.stack.variables("audit-shipper")
        async with HAPIClient(self.stack.hapi_url, self.stack.secrets["hapi-shipper"], timeout_s=60) as hapi:
            key = Path(variables["FACADE_AUDIT_KEY"])
            found = (await verify(hapi, self.stack.var / "audit", key)).first_break
        return None if found is None else (found.kind, found.event)

    def ship(self, count: int) -> None:
        """Bring `count` records into the trail."""
        before = self.sequence
        spool = Spool(self.stack.var / "spool", "facade")
        spool.write_sync(*(record(number) for number in range(count)))
        spool.close()
        wait_for(lambda: self.sequence >= before + count, "the records to be shipped", 60)

    @property
    def sequence(self) -> int:
        """Number of the last event."""
        path = self.stack.var / "audit" / "state.json"
        return int(json.loads(path.read_text())["sequence"]) if path.exists() else 0


def record(number: int) -> dict[str, object]:
    return audit_event(
        interaction="read",
        action="R",
        who=WHO,
        what=[f"Observation/{number}"],
        patient="Patient/none",
        request_id=f"{number:032x}",
    )


def name(sequence: int) -> str:
    return f"ae-{sequence:012d}"


def versions(sequence: int) -> str:
    """Condition for the rows of one event."""
    return f"RES_ID = (SELECT RES_ID FROM HFJ_RESOURCE WHERE FHIR_ID = '{name(sequence)}')"


def text(sequence: int) -> str:
    return f"(SELECT RES_TEXT_VC FROM HFJ_RES_VER WHERE {versions(sequence)})"


def removed(condition: str) -> str:
    """Statements that take every row of the events whose id fulfils a condition."""
    chosen = f"SELECT RES_ID FROM HFJ_RESOURCE WHERE RES_TYPE = 'AuditEvent' AND FHIR_ID {condition}"
    tables = ("SPIDX_TOKEN", "SPIDX_DATE", "RES_TAG", "HISTORY_TAG", "RES_VER", "RESOURCE")
    rows = (f"DELETE FROM HFJ_{table} WHERE RES_ID IN ({chosen});" for table in tables)
    return f"SET REFERENTIAL_INTEGRITY FALSE; {' '.join(rows)} SET REFERENTIAL_INTEGRITY TRUE"


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    """A trail of some events."""
    made = Vault()
    try:
        made.stack.need("hapi", "audit-shipper")
        made.ship(EVENTS)
        yield made
    finally:
        made.stack.close()


@asynccontextmanager
async def tampered(vault: Vault, statements: str, undo: str) -> AsyncIterator[tuple[str, str | None] | None]:
    """What verification says while a change lasts; without it the trail is whole again."""
    assert await vault.first_break() is None
    vault.sql(statements)
    yield await vault.first_break()
    vault.sql(undo)
    assert await vault.first_break() is None


async def test_a_changed_row_is_found(vault: Vault) -> None:
    def change(old: str, new: str) -> str:
        return (
            f'UPDATE HFJ_RES_VER SET RES_TEXT_VC = REPLACE(RES_TEXT_VC, \'"action":"{old}"\','
            f' \'"action":"{new}"\') WHERE {versions(5)}'
        )

    async with tampered(vault, change("R", "U"), change("U", "R")) as found:
        assert found == ("changed", name(5))


async def test_an_event_marked_as_deleted_is_found(vault: Vault) -> None:
    def mark(when: str) -> str:
        return f"UPDATE HFJ_RESOURCE SET RES_DELETED_AT = {when} WHERE FHIR_ID = '{name(4)}'"

    async with tampered(vault, mark("NOW()"), mark("NULL")) as found:
        assert found == ("missing", name(4))


async def test_events_in_another_order_are_found(vault: Vault) -> None:
    swap = (
        f"CREATE TABLE HELD AS SELECT RES_TEXT_VC AS T FROM HFJ_RES_VER WHERE {versions(3)};"
        f"UPDATE HFJ_RES_VER SET RES_TEXT_VC = {text(7)} WHERE {versions(3)};"
        f"UPDATE HFJ_RES_VER SET RES_TEXT_VC = (SELECT T FROM HELD) WHERE {versions(7)}; DROP TABLE HELD"
    )
    async with tampered(vault, swap, swap) as found:
        assert found == ("unchained", name(3))


async def test_a_forged_copy_of_an_event_is_found(vault: Vault) -> None:
    take = f"UPDATE HFJ_RES_VER SET RES_TEXT_VC = {text(6)} WHERE {versions(7)}"
    vault.sql(f"CREATE TABLE HELD AS SELECT RES_TEXT_VC AS T FROM HFJ_RES_VER WHERE {versions(7)}")
    back = f"UPDATE HFJ_RES_VER SET RES_TEXT_VC = (SELECT T FROM HELD) WHERE {versions(7)}; DROP TABLE HELD"
    async with tampered(vault, take, back) as found:
        assert found == ("unchained", name(7))


async def test_what_was_kept_long_enough_leaves_the_database_and_nobody_else_may_take_anything(
    vault: Vault,
) -> None:
    vault.ship(EVENTS)
    old = vault.sequence - EVENTS
    for caller in ("hapi-shipper", "hapi-facade", "hapi-workers", "hapi-receiver"):
        async with HAPIClient(vault.stack.hapi_url, vault.stack.secrets[caller]) as other:
            assert (await other.send("DELETE", f"AuditEvent/{name(1)}")).status_code == 403, caller
    async with HAPIClient(vault.stack.hapi_url, vault.stack.secrets["hapi-retention"]) as hapi:
        event = await hapi.read("AuditEvent", name(old + 1))
        assert (
            await hapi.send("PUT", f"AuditEvent/{name(1)}", json=event | {"id": name(1)})
        ).status_code == 403
        assert (await hapi.send("POST", "AuditEvent", json=record(1))).status_code == 403
        assert (await hapi.send("GET", "Patient?_id=x")).status_code == 403
        assert (
            await hapi.send("POST", "AuditEvent/$expunge", json={"resourceType": "Parameters"})
        ).status_code == 403
        export = vault.stack.var / "export.ndjson"
        moment = datetime.fromisoformat(event["recorded"])
        key = Path(vault.stack.variables("audit-shipper")["FACADE_AUDIT_KEY"])
        done = await retire(hapi, vault.stack.var / "audit", key, before=moment, export=export)
    assert done == Removed(old, old)
    assert len(export.read_text().splitlines()) == old
    assert await vault.first_break() is None
    for table in ("HFJ_RES_VER", "HFJ_RESOURCE"):
        rows = vault.sql(f"SELECT 'left', COUNT(*) FROM {table} WHERE RES_TYPE = 'AuditEvent'")
        assert f"left   | {EVENTS}" in rows, rows
    vault.ship(1)
    assert await vault.first_break() is None


async def test_a_cut_tail_is_found_and_so_is_what_is_taken_from_the_middle(vault: Vault) -> None:
    assert await vault.first_break() is None
    vault.sql(removed(f">= '{name(vault.sequence - 1)}'"))
    assert await vault.first_break() == ("truncated", name(vault.sequence - 1))
    vault.sql(removed(f"= '{name(EVENTS + 2)}'"))
    assert await vault.first_break() == ("missing", name(EVENTS + 2))
