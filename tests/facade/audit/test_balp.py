"""An event claims the BALP profile that it conforms to, and none when it does not."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from facade.audit import balp
from facade.audit.chain import Signer, digest_of, seal
from facade.audit.event import QUERY_BYTES, Who, audit_event

DOCTOR = Who("Practitioner/d1", "doctor", "viewer", "jti-1", "192.0.2.7")
BACK_END = Who(None, "external", "hospital-b", "jti-2", "192.0.2.8")
WORKER = Who(None, "system", "worker-inference")

# interaction, action, profile, code of the client's role, code of the server's (BALP 1.1, agent slices).
PROFILED = [
    ("create", "C", "Create", "110153", "110152"),
    ("read", "R", "Read", "110152", "110153"),
    ("vread", "R", "Read", "110152", "110153"),
    ("history-instance", "R", "Read", "110152", "110153"),
    ("update", "U", "Update", "110153", "110152"),
    ("patch", "U", "Update", "110153", "110152"),
    ("delete", "D", "Delete", "110150", "custodian"),
    ("search", "E", "Query", "110153", "110152"),
]


def build(interaction: str, action: Any, **more: Any) -> dict[str, Any]:
    about: dict[str, Any] = (
        {"query": "GET /fhir/Observation?code=x"} if interaction == "search" else {"what": ["Observation/1"]}
    )
    given = {"who": DOCTOR, "request_id": "a" * 32, **about, **more}
    return audit_event(interaction=interaction, action=action, **given)


def slices(event: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Entities of a slice: (type, role) of BALP."""
    codes = {"patient": ("1", "1"), "data": ("2", "4"), "query": ("2", "24")}[name]
    return [one for one in event["entity"] if (one["type"]["code"], one.get("role", {}).get("code")) == codes]


@pytest.mark.parametrize(("interaction", "action", "name", "client", "server"), PROFILED)
@pytest.mark.parametrize("patient", [None, "Patient/1"])
@pytest.mark.parametrize("who", [DOCTOR, BACK_END, WORKER])
def test_every_interaction_has_the_slices_of_its_profile(
    interaction: str, action: str, name: str, client: str, server: str, patient: str | None, who: Who
) -> None:
    event = build(interaction, action, patient=patient, who=who)
    assert balp.profile(event) == f"{balp.BASE}.{'Patient' if patient else ''}{name}"
    assert (event["type"]["code"], event["action"], event["outcome"]) == ("rest", action, "0")
    by_type = {agent["type"]["coding"][0]["code"]: agent for agent in event["agent"]}
    assert set(by_type) == {client, server, "IRCP"}
    for code in (client, server):
        assert {"who", "network"} <= set(by_type[code])
        assert "media" not in by_type[code]
    user = by_type["IRCP"]
    assert user["requestor"] is True
    assert "network" not in user
    assert user["who"]
    assert user["role"][0]["coding"][0]["code"] == who.display_role
    (transaction,) = [one for one in event["entity"] if one["type"]["code"] == "XrequestId"]
    assert transaction["what"]["identifier"]["value"] == "a" * 32
    assert len(slices(event, "patient")) == (1 if patient else 0)
    if name == "Query":
        (query,) = slices(event, "query")
        assert base64.b64decode(query["query"]) == b"GET /fhir/Observation?code=x"
        assert not {"what", "detail", "lifecycle"} & set(query)
    else:
        assert [one["what"]["reference"] for one in slices(event, "data")] == ["Observation/1"]


def test_a_patient_that_is_read_is_data_and_patient() -> None:
    event = build("read", "R", what=["Patient/1"], patient="Patient/1")
    assert balp.profile(event) == f"{balp.BASE}.PatientRead"
    assert len(slices(event, "data")) == len(slices(event, "patient")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "8"},
        {"outcome": "4"},
        {"detail": {"phase": "intent"}},
        {"what": []},
        {"who": Who(None, "anonymous", None, None, "192.0.2.7")},
        {"who": Who("Practitioner/d1", "doctor", "viewer", "jti-1", None)},
    ],
)
def test_what_failed_was_only_meant_or_is_incomplete_claims_no_profile(changes: dict[str, Any]) -> None:
    assert balp.profile(build("read", "R", **changes)) is None


@pytest.mark.parametrize("interaction", ["login", "dicomweb-read", "operation", "websocket"])
def test_what_balp_has_no_profile_for_claims_none(interaction: str) -> None:
    assert balp.profile(build(interaction, "R")) is None


def test_the_profile_is_stored_and_stands_outside_the_hash() -> None:
    event = build("read", "R", patient="Patient/1")
    sealed, digest = seal(event, 1, "0" * 64, Signer(ec.generate_private_key(ec.SECP256R1())))
    assert sealed["meta"] == {"profile": [f"{balp.BASE}.PatientRead"]}
    del sealed["meta"]
    assert digest_of(sealed) == digest


def test_a_hostile_query_is_kept_as_it_came_and_bounded() -> None:
    hostile = "GET /fhir/Patient?name=%00';DROP--\udcff"
    (query,) = slices(build("search", "E", query=hostile), "query")
    assert base64.b64decode(query["query"]) == b"GET /fhir/Patient?name=%00';DROP--\xff"
    (query,) = slices(build("search", "E", query="GET x?\ud800"), "query")
    assert base64.b64decode(query["query"]) == b"GET x?\\ud800"
    (query,) = slices(build("search", "E", query="x" * 100_000), "query")
    assert len(base64.b64decode(query["query"])) == QUERY_BYTES
