"""Whose study is it: the identity rules of design section 4 as pure functions. Standard library only.

Nothing is guessed. A study is matched to a Patient by its exact PatientID (padding trimmed, nothing else)
within the identifier system of its issuer (0010,0021), else of the sending AE's or uploading Organization;
what the file says about birth date, sex and name may then not contradict that Patient. Anything else is a
`Quarantine` with a reason.

Names are compared in `imaging.person_name`.
Sources: DICOM PS3.3 C.7.1.1 (Patient), PS3.5 6.2 (padding, PN); FHIR R4 Patient, ServiceRequest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from imaging import names
from imaging.person_name import compare

Resource = Mapping[str, Any]

# DICOM pads text with spaces and UIDs with NUL; writers mix the two up (PS3.5 6.2).
PADDING = " \x00"


@dataclass(frozen=True)
class IdentityTags:
    """What an instance says about patient and order, as text, exactly as read."""

    patient_id: str = ""
    issuer: str = ""
    name: str = ""
    birth_date: str = ""
    sex: str = ""
    accession: str = ""


@dataclass(frozen=True)
class Source:
    """Who sent it. `organization` is the owner of the sending AE or the uploader's Organization
    ("Organization/1").

    `staff`: a person of this hospital uploaded it, so that a file without an issuer speaks of our own MRN.
    """

    kind: Literal["c-store", "stow", "own"]
    label: str
    organization: str | None = None
    staff: bool = False
    address: str | None = None


@dataclass(frozen=True)
class Matched:
    """Exactly one Patient, and nothing contradicts it."""

    patient_ref: str


@dataclass(frozen=True)
class Quarantine:
    """Why nobody may see these images yet. `code` is stable; `text` names no person."""

    code: str
    text: str


@dataclass(frozen=True)
class BasedOn:
    """The order that a study belongs to, if it names one that we know."""

    service_request_ref: str | None


def trimmed(value: str) -> str:
    """DICOM's padding taken off, and nothing else: leading zeros and case count."""
    return value.strip(PADDING)


def identifier_system(issuer: str, source: Source, organizations: Iterable[Resource]) -> str | None:
    """The identifier system in which this PatientID is to be read, or None if that is not known.

    An outside source never reaches our MRN system, whatever issuer its file claims.
    """
    known = list(organizations)
    wanted = trimmed(issuer)
    if wanted:
        systems = {
            system
            for organization in known
            if wanted in _identifiers(organization, names.ISSUER_OF_PATIENT_ID)
            for system in _identifiers(organization, names.PATIENT_IDENTIFIER_SYSTEM)
        }
    else:
        systems = _source_systems(source, known)
    if len(systems) != 1:
        return None
    system = next(iter(systems))
    if system == names.MRN and names.MRN not in _source_systems(source, known):
        return None
    return system


def match(tags: IdentityTags, system: str | None, patients: Sequence[Resource]) -> Matched | Quarantine:
    """Decide for one instance. `patients` are the candidates that HAPI has for this identifier.

    They are checked again here: a search that finds more than the exact identifier must not widen the rule.
    """
    patient_id = trimmed(tags.patient_id)
    if not patient_id:
        return Quarantine("no-patient-id", "The instance has no PatientID.")
    if system is None:
        return Quarantine("unknown-issuer", "It is not known whose numbering this PatientID belongs to.")
    found = [patient for patient in patients if patient_id in _identifiers(patient, system)]
    if not found:
        return Quarantine("unknown-patient", "No patient has this PatientID in the sender's numbering.")
    if len({patient["id"] for patient in found}) > 1:
        return Quarantine("several-patients", "Several patients have this PatientID.")
    patient = found[0]
    if any(link.get("type") == "replaced-by" for link in patient.get("link", [])):
        return Quarantine("merged-patient", "The patient record was merged into another one.")
    if patient.get("active") is False:
        return Quarantine("inactive-patient", "The patient record is not active.")
    return _contradiction(tags, patient) or Matched(f"Patient/{patient['id']}")


def order(accession: str, patient_ref: str, service_requests: Iterable[Resource]) -> BasedOn | Quarantine:
    """The accession rule: exactly one active order has it and it is this patient's; otherwise no link.

    An active order of another patient, or several active ones, contradict and mean quarantine. An accession
    that no active order has (another house's number, an order that is finished) gives no link.
    """
    wanted = trimmed(accession)
    if not wanted:
        return BasedOn(None)
    active = {
        request["id"]: request
        for request in service_requests
        if request.get("status") == "active" and wanted in accessions(request)
    }
    if not active:
        return BasedOn(None)
    if len(active) > 1:
        return Quarantine("several-orders", "Several active orders have this accession number.")
    request = next(iter(active.values()))
    if request.get("subject", {}).get("reference") != patient_ref:
        return Quarantine("other-patients-order", "The accession number belongs to another patient's order.")
    return BasedOn(f"ServiceRequest/{request['id']}")


def accessions(service_request: Resource) -> set[str]:
    """The accession numbers of an order: our system, or the v2-0203 type ACSN."""
    found = set()
    for identifier in service_request.get("identifier", []):
        codings = identifier.get("type", {}).get("coding", [])
        is_accession = any(
            coding.get("system") == names.IDENTIFIER_TYPE and coding.get("code") == "ACSN"
            for coding in codings
        )
        if identifier.get("value") and (is_accession or identifier.get("system") == names.ACCESSION):
            found.add(identifier["value"])
    return found


def _source_systems(source: Source, organizations: Iterable[Resource]) -> set[str]:
    if source.staff:
        return {names.MRN}
    return {
        system
        for organization in organizations
        if source.organization == f"Organization/{organization.get('id')}"
        for system in _identifiers(organization, names.PATIENT_IDENTIFIER_SYSTEM)
    }


def _identifiers(resource: Resource, system: str) -> set[str]:
    """Values in use in one system. One marked `old` was given up and may have gone to somebody else."""
    return {
        identifier["value"]
        for identifier in resource.get("identifier", [])
        if identifier.get("system") == system and identifier.get("value") and identifier.get("use") != "old"
    }


def _contradiction(tags: IdentityTags, patient: Resource) -> Quarantine | None:
    birth = _same_birth_date(trimmed(tags.birth_date), patient.get("birthDate", ""))
    if birth is False:
        return Quarantine("birth-date", "The birth date differs from the patient's.")
    if not _same_sex(trimmed(tags.sex), patient.get("gender", "")):
        return Quarantine("sex", "The sex differs from the patient's.")
    verdict = compare(tags.name, patient.get("name", []))
    if verdict == "different":
        return Quarantine("name", "The name differs from the patient's.")
    if verdict == "not-comparable" and birth is not True:
        return Quarantine(
            "name-not-comparable", "The names share no script and no birth date confirms the match."
        )
    return None


def _same_birth_date(dicom: str, fhir: str) -> bool | None:
    """True or False by the precision that both have; None if one side says nothing.

    Unreadable counts as False.
    """
    if not dicom or not fhir:
        return None
    # The ACR-NEMA form is allowed for reading (PS3.5 6.2, DA).
    old_form = re.fullmatch(r"(\d{4})\.(\d{2})\.(\d{2})", dicom)
    digits = "".join(old_form.groups()) if old_form else dicom
    if not re.fullmatch(r"\d{8}", digits):
        return False
    return digits.startswith(fhir.replace("-", ""))


def _same_sex(dicom: str, fhir: str) -> bool:
    """PatientSex M, F, O (PS3.3 C.7.1.1) and administrative gender; empty or unknown contradicts nothing."""
    if not dicom or not fhir or fhir == "unknown":
        return True
    return {"M": "male", "F": "female", "O": "other"}.get(dicom.upper()) == fhir
