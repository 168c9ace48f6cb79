"""`neuronova audit` on a real trail."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from facade.audit.chain import digest_of, seal_of
from facade.audit.event import Who, audit_event
from facade.audit.spool import Spool
from facade.hapi import HAPIClient
from tests.neuronova.command import neuronova
from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def shipping(servers: Stack) -> Stack:
    return servers.need("hapi", "audit-shipper")


def test_a_whole_trail_is_verified_with_exit_code_0(shipping: Stack) -> None:
    done = neuronova(shipping.var, "audit", "verify")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("the trail is whole: ")


async def test_reading_the_trail_is_in_the_trail(shipping: Stack) -> None:
    before = _sequence(shipping)
    assert neuronova(shipping.var, "audit", "verify", "--json").exit_code == 0
    wait_for(lambda: _sequence(shipping) > before, "the reading to be shipped")
    async with HAPIClient(shipping.hapi_url, shipping.secrets["hapi-shipper"]) as hapi:
        found = await hapi.search("AuditEvent", [("_sort", "-_lastUpdated"), ("type", "110101")], count=1)
    (entry,) = found["entry"]
    assert entry["resource"]["source"]["observer"]["identifier"]["value"] == "operator"


def _sequence(stack: Stack) -> int:
    path = stack.var / "audit" / "state.json"
    return int(json.loads(path.read_text())["sequence"]) if path.exists() else 0


def test_a_break_is_named_with_exit_code_1(shipping: Stack, tmp_path: Path) -> None:
    # The shipper's own word that there was more than HAPI has: what a truncated store looks like.
    folder = tmp_path / "etc" / "env"
    folder.mkdir(parents=True)
    state = tmp_path / "audit"
    state.mkdir()
    (state / "state.json").write_text(json.dumps({"sequence": 999_999_999, "hash": "0" * 64, "cursors": {}}))
    lines = (shipping.var / "etc" / "env" / "audit-shipper.env").read_text()
    (folder / "audit-shipper.env").write_text(lines.replace(f"{shipping.var}/audit", str(state)))
    done = neuronova(tmp_path, "audit", "verify")
    assert done.exit_code == 1
    assert "truncated" in done.stdout


def test_status_tells_backlog_and_drain_rate(shipping: Stack) -> None:
    status = json.loads(neuronova(shipping.var, "audit", "status", "--json").stdout)
    assert {"backlog_records", "backlog_bytes", "drain_per_s", "unconfirmed", "sequence"} <= set(status)


@pytest.fixture(scope="module")
async def history(shipping: Stack) -> dict[str, str]:
    """Three accesses of one run, shipped: two by a doctor, one refused to a nurse."""
    run = uuid.uuid4().hex
    made = {"run": run}
    async with HAPIClient(shipping.hapi_url, shipping.secrets["hapi-facade"]) as hapi:
        for type_ in ("Patient", "Practitioner"):
            made[type_] = f"{type_}/{(await hapi.create({'resourceType': type_}))['id']}"
    doctor = Who(made["Practitioner"], "doctor", "viewer", f"jti-{run}", "192.0.2.1")
    nurse = Who(f"urn:neuronova:user:nurse-{run}", "nurse", "ward", None, "192.0.2.2")
    about: dict[str, Any] = {"request_id": run, "what": [made["Patient"]], "patient": made["Patient"]}
    spool = Spool(shipping.var / "spool", "facade")
    spool.write_sync(
        audit_event(interaction="read", action="R", who=doctor, **about),
        audit_event(interaction="update", action="U", who=doctor, **about),
        audit_event(interaction="read", action="R", who=nurse, outcome="8", request_id=run),
    )
    spool.close()
    wait_for(lambda: len(_found(shipping, "--request", run)) == 3, "three rows")
    return made


def _found(stack: Stack, *question: str) -> list[dict[str, str]]:
    done = neuronova(stack.var, "audit", "search", "--json", *question)
    assert done.exit_code == 0, done.stderr
    rows: list[dict[str, str]] = json.loads(done.stdout)
    # That the operator looked is in the trail as well.
    return [row for row in rows if row["interaction"] != "audit-read"]


def _accesses(shipping: Stack, *question: str) -> list[dict[str, str]]:
    """What people did; where the whole product runs, OpenEMR is told of the patient too."""
    return [row for row in _found(shipping, *question) if row["interaction"] != "openemr-write"]


def test_an_access_is_found_by_patient_user_action_time_request_and_token(
    shipping: Stack, history: dict[str, str]
) -> None:
    run = history["run"]
    whole = _found(shipping, "--request", run)
    assert [(row["action"], row["role"], row["outcome"]) for row in whole] == [
        ("R", "doctor", "0"),
        ("U", "doctor", "0"),
        ("R", "nurse", "8"),
    ]
    assert (whole[0]["address"], whole[0]["client"]) == ("192.0.2.1", "viewer")
    assert _accesses(shipping, "--patient", history["Patient"]) == whole[:2]
    assert _found(shipping, "--user", history["Practitioner"]) == whole[:2]
    assert _found(shipping, "--token", f"jti-{run}", "--action", "U") == whole[1:2]
    assert _found(shipping, "--user", f"nurse-{run}", "--refused") == whole[2:]
    assert _found(shipping, "--patient", history["Patient"], "--until", "2020-01-01") == []
    assert _accesses(shipping, "--patient", history["Patient"], "--since", "2020-01-01") == whole[:2]


def test_an_export_holds_every_event_with_its_seal(
    shipping: Stack, history: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "trail.ndjson"
    done = neuronova(shipping.var, "audit", "export", str(file))
    assert done.exit_code == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    previous = "0" * 64
    events = [json.loads(line) for line in file.read_text().splitlines()]
    for number, event in enumerate(events, 1):
        seal = seal_of(event)
        assert seal is not None
        assert (seal.sequence, seal.previous, seal.hash) == (number, previous, digest_of(event))
        previous = seal.hash
    assert sum(history["run"] in json.dumps(event) for event in events) >= 3
    again = neuronova(shipping.var, "audit", "export", str(file))
    assert again.exit_code == 1, "an export never replaces a file"


def test_a_question_that_makes_no_sense_is_one_sentence(shipping: Stack) -> None:
    for question in (("--action", "X"), ("--since", "yesterday"), ("--patient", "Kim")):
        done = neuronova(shipping.var, "audit", "search", *question)
        assert done.exit_code == 1
        assert done.stderr.startswith("neuronova: ")
