"""AuditEvents have BALP's shape and never carry what must not be in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from facade.audit.event import PRIVATE, Viewing, Who, audit_event, reference, request_id_of

WHO = Who("Practitioner/d1", "doctor", "viewer", "jti-1", "127.0.0.1")


def build(**more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"interaction": "read", "action": "R", "who": WHO, "request_id": "a" * 32}
    return audit_event(**{**given, **more})


@pytest.mark.parametrize(
    ("interaction", "action"),
    [
        ("read", "R"),
        ("search", "E"),
        ("create", "C"),
        ("login", "E"),
        ("dicomweb-read", "R"),
        ("ai-run", "E"),
    ],
)
def test_every_kind_is_a_valid_r4_audit_event(interaction: str, action: Any) -> None:
    event = build(
        interaction=interaction,
        action=action,
        what=["ImagingStudy/1"],
        patient="Patient/1",
        detail={"n": "1"},
    )
    AuditEvent.model_validate(event)


def test_who_what_patient_and_request_are_in_it() -> None:
    event = build(what=["ImagingStudy/1", "urn:oid:1.2.3"], patient="Patient/1", reason="because")
    user, client, server = event["agent"]
    assert user["who"] == {"reference": "Practitioner/d1"}
    assert user["requestor"] is True
    assert user["policy"] == ["jti-1"]
    assert client["who"]["identifier"]["value"] == "viewer"
    assert client["network"] == {"address": "127.0.0.1", "type": "2"}
    assert not server["requestor"]
    targets = [entity["what"] for entity in event["entity"]]
    assert targets[0] == {"reference": "Patient/1"}
    assert targets[1] == {"reference": "ImagingStudy/1"}
    assert targets[2] == {"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}}
    assert request_id_of(event) == "a" * 32
    assert event["outcomeDesc"] == "because"


def test_the_server_is_the_source_of_a_read_and_the_destination_of_a_search_and_a_write() -> None:
    def server(**more: Any) -> str:
        return str(build(**more)["agent"][2]["type"]["coding"][0]["code"])

    assert server() == "110153"
    assert server(interaction="search", action="E") == "110152"
    assert server(interaction="create", action="C") == "110152"


def test_recorded_is_utc_with_milliseconds() -> None:
    when = datetime(2026, 1, 2, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    assert build(recorded=when)["recorded"] == "2026-01-02T00:00:00.123Z"
    assert build(recorded=datetime(2026, 1, 2, tzinfo=UTC))["recorded"] == "2026-01-02T00:00:00.000Z"


def test_an_unreadable_id_of_a_refused_request_stays_harmless() -> None:
    event = build(what=["Patient/" + "x" * 5000, "\x00\n"], outcome="4")
    AuditEvent.model_validate(event)
    assert all("reference" not in entity["what"] for entity in event["entity"])


def test_references_are_literal_only_when_they_look_like_one() -> None:
    assert reference("Patient/1/_history/2") == {"reference": "Patient/1/_history/2"}
    assert "reference" not in reference("http://elsewhere.example/Patient/1")
    assert "reference" not in reference("Patient/1?x=y")


def test_what_only_spool_and_shipper_need_is_kept_apart() -> None:
    event = build(passed=True, viewing=Viewing("1.2", "1.2.3"))
    private = event[PRIVATE]
    assert private["passed"] == "a" * 32
    assert "1.2.3" in private["viewing"]
    assert PRIVATE not in build()
