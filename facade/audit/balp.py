"""Which profile of IHE Basic Audit Log Patterns an AuditEvent conforms to; what it does not, it never claims.

The profiles are for RESTful interactions that succeeded. Refusals, failures, intents, logins and DICOM have
none: they keep the same agents and entities (FHIR R4 security.html, "Audit Logging"; DICOM PS3.16 CID 400).
Source: IHE ITI BALP 1.1, profiles Create, Read, Update, Delete, Query and their Patient variants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from facade.audit import names

BASE: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"
# Code of the interaction -> profile and the action that it fixes.
_PROFILES: Final = {
    "create": ("Create", "C"),
    "read": ("Read", "R"),
    "vread": ("Read", "R"),
    "history-instance": ("Read", "R"),
    "update": ("Update", "U"),
    "patch": ("Update", "U"),
    "delete": ("Delete", "D"),
    "search-type": ("Query", "E"),
}
_ROLES: Final = {
    "Read": (names.DESTINATION_ROLE, names.SOURCE_ROLE),
    "Delete": (names.APPLICATION, names.CUSTODIAN),
}


def roles(code: str | None) -> tuple[names.Coded, names.Coded]:
    """What client and server are to an interaction: (client, server).

    What is read flows from the server; a query and what is written flow from the client.
    """
    profile = _PROFILES.get(code or "", ("", ""))[0]
    return _ROLES.get(profile, (names.SOURCE_ROLE, names.DESTINATION_ROLE))


def profile(event: Mapping[str, Any]) -> str | None:
    """The profile's canonical address, or None."""
    subtypes = [one.get("code") for one in event.get("subtype", ())]
    if event.get("outcome") != "0" or len(subtypes) != 1 or _is_intent(event):
        return None
    name, action = _PROFILES.get(str(subtypes[0]), ("", ""))
    if event.get("action") != action or not _has_agents(event, str(subtypes[0])):
        return None
    is_found = [_is_query(one) if name == "Query" else _is_data(one) for one in event.get("entity", ())]
    patients = sum(_is_patient(one) for one in event.get("entity", ()))
    if sum(is_found) != 1 or patients > 1:
        return None
    return f"{BASE}.{'Patient' if patients else ''}{name}"


def _has_agents(event: Mapping[str, Any], code: str) -> bool:
    """Client and server, each known and with its place in the network; a user, if there is one, is known."""
    found: dict[str, dict[str, Any]] = {agent["type"]["coding"][0]["code"]: agent for agent in event["agent"]}
    both = [found.get(role.code, {}) for role in roles(code)]
    user = found.get("IRCP")
    is_known = user is None or "who" in user
    return is_known and all("who" in agent and "network" in agent for agent in both)


def _is_data(entity: Mapping[str, Any]) -> bool:
    return "what" in entity and _role(entity) == "4"


def _is_query(entity: Mapping[str, Any]) -> bool:
    return "query" in entity and _role(entity) == "24"


def _is_patient(entity: Mapping[str, Any]) -> bool:
    return _role(entity) == "1"


def _role(entity: Mapping[str, Any]) -> str:
    return str(entity.get("role", {}).get("code", ""))


def _is_intent(event: Mapping[str, Any]) -> bool:
    return any(
        detail.get("type") == "phase" and detail.get("valueString") == "intent"
        for entity in event.get("entity", ())
        for detail in entity.get("detail", ())
    )
