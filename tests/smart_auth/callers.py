"""Callers, resources and questions of the policy tests."""

from dataclasses import replace
from typing import Any

from smart_auth import scopes
from smart_auth.interaction import Interaction, Kind, Principal, Role

NOW = 1_800_000_000
ROLES: tuple[Role, ...] = ("admin", "doctor", "rib", "lab", "nurse", "patient", "external")

# Written down from the product's design, section 5, apart from `roles.py`. Words after the letters: whose.
STAFF_READ = ("rs", "crus", "rs", "rs", "rs", "rs own", "rs shared")
DIRECTORY = ("cruds", "rs", "rs", "rs", "rs", "", "")
TABLE: dict[str, tuple[str, ...]] = {
    "Patient": ("cruds", "crus", "rs", "rs", "rs", "rs own", "rs shared"),
    "Encounter": ("cruds", "crus", "rs", "rs", "rs", "rs own", "rs shared"),
    "Practitioner": DIRECTORY,
    "PractitionerRole": DIRECTORY,
    "Organization": DIRECTORY,
    "Location": DIRECTORY,
    "ServiceRequest": ("cruds", "crus", "rus", "rs", "rs", "rs own", "crs shared"),
    "ImagingStudy": ("rs", "rs", "rs", "", "", "rs own", "rs shared"),
    "Task": ("rs", "crs", "crs", "", "", "", ""),
    "DiagnosticReport": ("rs", "crus", "crus", "rs", "rs", "rs own", "rs shared"),
    "Observation imaging": ("rs", "rs", "crus", "rs", "rs", "rs own", "rs shared"),
    "Observation laboratory": ("rs", "rs", "rs", "crus", "rs", "rs own", "rs shared"),
    "Observation vital-signs": ("rs", "crus", "rs", "", "crus", "rs own", ""),
    "Observation": ("rs", "rs", "rs", "rs", "rs", "", ""),
    "Observation exam": ("", "", "", "", "", "", ""),
    "Medication": ("rs", "crus", "rs", "rs", "rs", "", ""),
    "MedicationRequest": STAFF_READ,
    "MedicationAdministration": STAFF_READ,
    "MedicationDispense": STAFF_READ,
    "MedicationStatement": STAFF_READ,
    "Condition": STAFF_READ,
    "AllergyIntolerance": STAFF_READ,
    "Procedure": STAFF_READ,
    "DocumentReference": STAFF_READ,
    "Endpoint": ("rs", "rs", "rs", "rs", "rs", "", ""),
    "Device": ("cruds", "rs", "rs", "rs", "rs", "", ""),
    "Provenance": ("rs", "rs", "rs", "", "", "", ""),
    "Group": ("cruds", "", "", "", "", "", ""),
    "AuditEvent": ("rs", "", "", "", "", "rs own", ""),
    # Refused to everybody.
    "Subscription": ("",) * 7,
    "SearchParameter": ("",) * 7,
    "StructureDefinition": ("",) * 7,
    "Binary": ("",) * 7,
    "List": ("",) * 7,
    "Composition": ("",) * 7,
    "Person": ("",) * 7,
    "Bundle": ("",) * 7,
    "Immunization": ("",) * 7,
}
KINDS: dict[Kind, str] = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "history-type": "s",
    "search": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
}
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
OWN, OTHER = "own", "other"


def caller(role: Role, scope: str = "user/*.cruds", **changes: Any) -> Principal:
    """A valid caller of a role whose compartment is the patient `own`."""
    principal = Principal(
        user_id="u1",
        fhir_user="Patient/own" if role == "patient" else "Practitioner/p1",
        role=role,
        scopes=scopes.parse(scope),
        client_id="app",
        jti="j1",
        patient=OWN if role == "patient" else None,
        organization="partner" if role == "external" else None,
        auth_time=NOW - 10,
        expires=NOW + 100,
        shared=frozenset({OWN}) if role == "external" else frozenset(),
    )
    return replace(principal, **changes)


def observation(*categories: str, patient: str = OWN, status: str = "final") -> dict[str, Any]:
    """An Observation with these categories."""
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "id": "o1",
        "status": status,
        "subject": {"reference": f"Patient/{patient}"},
    }
    if categories:
        found["category"] = [{"coding": [{"system": CATEGORY, "code": code}]} for code in categories]
    return found


def resource(row: str, patient: str = OWN) -> dict[str, Any]:
    """A resource of a row, in a state that everybody may see, in a patient's record."""
    type_, _, category = row.partition(" ")
    if type_ == "Observation":
        return observation(*([category] if category else []), patient=patient)
    found: dict[str, Any] = {"resourceType": type_, "id": "x1"}
    reference = {"reference": f"Patient/{patient}"}
    if type_ == "Patient":
        found["id"] = patient
    elif type_ == "AllergyIntolerance":
        found["patient"] = reference
    elif type_ == "Task":
        found["for"] = reference
    elif type_ == "AuditEvent":
        found["entity"] = [{"what": reference}]
    else:
        found["subject"] = reference
    found["status"] = {"ImagingStudy": "available", "DiagnosticReport": "final"}.get(type_, "active")
    return found


def ask(kind: Kind, type_: str, id_: str = "x1", **more: Any) -> Interaction:
    """An interaction, with an id where there has to be one (and a target where that has to be named)."""
    if kind == "search" and type_ == "Provenance":
        more.setdefault("parameters", (("target", "DiagnosticReport/d1"),))
    return Interaction(kind, type_, None if kind in ("search", "create", "history-type") else id_, **more)
