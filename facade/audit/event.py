"""Builds AuditEvents (FHIR R4) in the shape of IHE BALP: who, through what, which patient, what, outcome.

One event per interaction and disclosed patient: a caller that discloses three patients builds three events
with the same request id. Which shape comes from where: agents (client, server, user), the request id as an
entity of type XrequestId, the patient entity, the data entity and the query entity are those of BALP 1.1
(`balp`), also where BALP has no profile.
"""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from facade.audit import balp, names

PRIVATE: Final = "_spool"  # what spool and shipper need to know; taken off before the event is stored
REFERENCE: Final = re.compile(r"^[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}(/_history/[A-Za-z0-9\-.]{1,64})?$")
QUERY_BYTES: Final = 16 * 1024  # of a raw request; nginx takes no longer request line
_MACHINE: Final = socket.gethostname()
_LONGEST: Final = 500  # characters of any text; an attacker chooses the ids of refused requests
_OWN: Final = ("system", "operator")  # roles of the product's own processes, which have no address
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
    query: str | None = None,
    passed: bool = False,
    viewing: Viewing | None = None,
) -> dict[str, Any]:
    """One AuditEvent, ready for `Spool.write`.

    `passed`: the answer goes out by X-Accel-Redirect, so nginx alone knows whether it arrived; the shipper
    joins nginx's word by `request_id`. `viewing`: the record stands for the series' frames of a minute.
    `query` is the request as it came: kept whole, so that what was tried can be seen as it was.
    `what` may hold references ("ImagingStudy/1") and UIDs ("urn:oid:1.2.3"); what is neither is kept as text.
    """
    when = (recorded or datetime.now(UTC)).astimezone(UTC)
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        **_kind(interaction),
        "action": action,
        "recorded": when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z",
        "outcome": outcome,
        "agent": _agents(interaction, who),
        "source": {
            "observer": {"identifier": {"system": names.NEURONOVA_PROCESS, "value": "neuronova"}},
            "type": [
                {"system": names.SECURITY_SOURCE_TYPE, "code": "4", "display": "Application Server"},
            ],
        },
        "entity": _entities(what, patient, request_id, detail or {}, query),
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


def _agents(interaction: str, who: Who) -> list[dict[str, Any]]:
    client_role, server_role = balp.roles(names.REST_SUBTYPE.get(interaction))
    client_id = _text(who.client_id or "")
    agents: list[dict[str, Any]] = []
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
    elif client_id:
        user["who"] = _named(names.NEURONOVA_CLIENT, client_id)  # a back end is its own user
    if who.jti and (jti := _text(who.jti).replace(" ", "")):
        user["policy"] = [jti]  # BALP OAUTHaccessTokenUse: the token's id
    agents.append(user)
    client: dict[str, Any] = {"type": _concept(client_role), "requestor": False}
    if client_id:
        client["who"] = _named(names.NEURONOVA_CLIENT, client_id)
    if who.address and (address := _text(who.address)):
        client["network"] = {"address": address, "type": "2"}  # 2 = IP address
    elif who.display_role in _OWN:
        client["network"] = {"address": _MACHINE, "type": "1"}  # 1 = machine name
    agents.append(client)
    server = {
        "type": _concept(server_role),
        "who": _named(names.NEURONOVA_PROCESS, "neuronova"),
        "requestor": False,
        "network": {"address": _MACHINE, "type": "1"},
    }
    agents.append(server)
    return agents


def _entities(
    what: Sequence[str], patient: str | None, request_id: str, detail: Mapping[str, str], query: str | None
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
        entities.append(
            {
                "what": reference(target),
                "type": {"system": names.AUDIT_ENTITY_TYPE, "code": "2", "display": "System Object"},
                "role": {"system": names.OBJECT_ROLE, "code": "4", "display": "Domain Resource"},
            }
        )
    if query:
        raw = _bytes(query)[:QUERY_BYTES]
        entities.append(
            {
                "type": {"system": names.AUDIT_ENTITY_TYPE, "code": "2", "display": "System Object"},
                "role": {"system": names.OBJECT_ROLE, "code": "24", "display": "Query"},
                "query": base64.b64encode(raw).decode(),
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


def _concept(coded: names.Coded) -> dict[str, Any]:
    return {"coding": [coded._asdict()]}


def _named(system: str, value: str) -> dict[str, Any]:
    return {"identifier": {"system": system, "value": value}}


def _bytes(query: str) -> bytes:
    """The bytes as they came; half a surrogate pair never came as bytes, and is spelled out."""
    try:
        return query.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return query.encode("utf-8", "backslashreplace")


def _text(value: str) -> str:
    """Text as FHIR allows it: no control characters, no blank ends, and bounded."""
    return _CONTROL.sub(" ", value).strip()[:_LONGEST].rstrip()
