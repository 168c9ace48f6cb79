"""Builds AuditEvents (FHIR R4) in the shape of IHE BALP: who, through what, which patient, what, outcome.

One event per interaction and disclosed patient: a caller that discloses three patients builds three events
with the same request id. Which shape comes from where: agents (client, server, user), the request id as an
entity of type XrequestId, the patient entity and the data entity are those of BALP 1.1 "Read", "Query",
"Create" and "PatientRead"; that the server is the source of what is read, but the destination of a query and
of a write, is BALP's too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from facade.audit import names

PRIVATE: Final = "_spool"  # what spool and shipper need to know; taken off before the event is stored
REFERENCE: Final = re.compile(r"^[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}(/_history/[A-Za-z0-9\-.]{1,64})?$")
_LONGEST: Final = 500  # characters of any text; an attacker chooses the ids of refused requests
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")

Action = Literal["C", "R", "U", "D", "E"]
Outcome = Literal["0", "4", "8", "12"]


@dataclass(frozen=True)
class Who:
    """Who acted: a reference if known ("Practitioner/x"), the role, and the way in."""

    reference: str | None
    display_role: str
    client_id: str | None = None
    jti: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class Viewing:
    """Frames of one series seen by one user: recorded once a minute, not once a frame."""

    study_uid: str
    series_uid: str


def audit_event(
    *,
    interaction: str,
    action: Action,
    who: Who,
    what: Sequence[str] = (),
    patient: str | None = None,
    outcome: Outcome = "0",
    reason: str | None = None,
    request_id: str,
    recorded: datetime | None = None,
    detail: Mapping[str, str] | None = None,
    passed: bool = False,
    viewing: Viewing | None = None,
) -> dict[str, Any]:
    """One AuditEvent, ready for `Spool.write`.

    `passed`: the answer goes out by X-Accel-Redirect, so nginx alone knows whether it arrived; the shipper
    joins nginx's word by `request_id`. `viewing`: the record stands for the series' frames of a minute.
    `what` may hold references ("ImagingStudy/1") and UIDs ("urn:oid:1.2.3"); what is neither is kept as text.
    """
    when = (recorded or datetime.now(UTC)).astimezone(UTC)
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        **_kind(interaction),
        "action": action,
        "recorded": when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z",
        "outcome": outcome,
        "agent": _agents(interaction, action, who),
        "source": {
            "observer": {"identifier": {"system": names.NEURONOVA_PROCESS, "value": "neuronova"}},
            "type": [
                {"system": names.SECURITY_SOURCE_TYPE, "code": "4", "display": "Application Server"},
            ],
        },
        "entity": _entities(what, patient, request_id, detail or {}),
    }
    if reason and (text := _text(reason)):
        event["outcomeDesc"] = text
    private: dict[str, Any] = {}
    if passed:
        private["passed"] = request_id
    if viewing is not None:
        private["viewing"] = [
            who.reference, who.client_id, who.jti, outcome, patient, viewing.study_uid, viewing.series_uid,
        ]  # fmt: skip
    if private:
        event[PRIVATE] = private
    return event


def reference(target: str) -> dict[str, Any]:
    """A Reference to `target`: literal for a relative reference, else by identifier (never a guess).

    Whether the literal target exists is settled by the shipper just before the event is sealed.
    """
    if REFERENCE.match(target):
        return {"reference": target}
    if target.startswith("urn:oid:"):
        return {"identifier": {"system": names.DICOM_UID, "value": _text(target)}}
    return {"identifier": {"system": names.NEURONOVA_REFERENCE, "value": _text(target) or "unreadable"}}


def request_id_of(event: Mapping[str, Any]) -> str | None:
    """The request id that an event carries, if any."""
    entity = transaction_entity(event)
    return None if entity is None else str(entity["what"]["identifier"]["value"])


def transaction_entity(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entity that holds the request id and the details of the interaction."""
    for entity in event.get("entity", []):
        if entity.get("type", {}).get("code") == "XrequestId":
            found: dict[str, Any] = entity
            return found
    return None


def _kind(interaction: str) -> dict[str, Any]:
    if code := names.REST_SUBTYPE.get(interaction):
        return {
            "type": {"system": names.AUDIT_EVENT_TYPE, "code": "rest", "display": "RESTful Operation"},
            "subtype": [{"system": names.RESTFUL_INTERACTION, "code": code}],
        }
    own = {"system": names.NEURONOVA_EVENT, "code": _text(interaction).replace(" ", "-") or "unreadable"}
    if not (dicom := names.DICOM_TYPE.get(interaction)):
        return {"type": own}
    subtypes = [own]
    if narrower := names.DICOM_SUBTYPE.get(interaction):
        subtypes.insert(0, {"system": names.DICOM, "code": narrower[0], "display": narrower[1]})
    return {"type": {"system": names.DICOM, "code": dicom[0], "display": dicom[1]}, "subtype": subtypes}


def _agents(interaction: str, action: Action, who: Who) -> list[dict[str, Any]]:
    # BALP: what is read flows from the server; a query and what is written flow from the client.
    from_server = action == "R" and not interaction.endswith("search")
    client_role, server_role = names.SOURCE_ROLE, names.DESTINATION_ROLE
    if from_server:
        client_role, server_role = server_role, client_role
    user: dict[str, Any] = {
        "type": {
            "coding": [
                {"system": names.PARTICIPATION_TYPE, "code": "IRCP", "display": "information recipient"},
            ]
        },
        "requestor": True,
    }
    if role := _text(who.display_role):
        user["role"] = [{"coding": [{"system": names.NEURONOVA_ROLE, "code": role.replace(" ", "-")}]}]
    if who.reference:
        user["who"] = reference(who.reference)
    if who.jti and (jti := _text(who.jti).replace(" ", "")):
        user["policy"] = [jti]  # BALP OAUTHaccessTokenUse: the token's id
    client: dict[str, Any] = {"type": _dicom_concept(client_role), "requestor": False}
    if who.client_id and (client_id := _text(who.client_id)):
        client["who"] = {"identifier": {"system": names.NEURONOVA_CLIENT, "value": client_id}}
    if who.address and (address := _text(who.address)):
        client["network"] = {"address": address, "type": "2"}  # 2 = IP address
    server = {
        "type": _dicom_concept(server_role),
        "who": {"identifier": {"system": names.NEURONOVA_PROCESS, "value": "neuronova"}},
        "requestor": False,
    }
    return [user, client, server]


def _entities(
    what: Sequence[str], patient: str | None, request_id: str, detail: Mapping[str, str]
) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = []
    if patient:
        entities.append(
            {
                "what": reference(patient),
                "type": {"system": names.AUDIT_ENTITY_TYPE, "code": "1", "display": "Person"},
                "role": {"system": names.OBJECT_ROLE, "code": "1", "display": "Patient"},
            }
        )
    for target in what:
        if target == patient:
            continue
        entities.append(
            {
                "what": reference(target),
                "type": {"system": names.AUDIT_ENTITY_TYPE, "code": "2", "display": "System Object"},
                "role": {"system": names.OBJECT_ROLE, "code": "4", "display": "Domain Resource"},
            }
        )
    transaction: dict[str, Any] = {
        "what": {"identifier": {"value": _text(request_id) or "none"}},
        "type": {"system": names.BALP_ENTITY_TYPE, "code": "XrequestId"},
    }
    details = [
        {"type": _text(key), "valueString": _text(value)}
        for key, value in sorted(detail.items())
        if _text(key) and _text(value)
    ]
    if details:
        transaction["detail"] = details
    entities.append(transaction)
    return entities


def _dicom_concept(code: tuple[str, str]) -> dict[str, Any]:
    return {"coding": [{"system": names.DICOM, "code": code[0], "display": code[1]}]}


def _text(value: str) -> str:
    """Text as FHIR allows it: no control characters, no blank ends, and bounded."""
    return _CONTROL.sub(" ", value).strip()[:_LONGEST].rstrip()
