"""The patients and visits that a person chooses from, and how they are shown.

smart_auth never talks to the FHIR store. The facade gives it a `Directory`: its own search and read, decided,
confirmed and recorded like any other request of this person.
Sources: FHIR R4 Patient, Encounter, HumanName (use, period); ISO 21090 EN representation (ABC, IDE, SYL).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from smart_auth import scopes
from smart_auth.compartment import patient_of
from smart_auth.errors import SMARTAuthError
from smart_auth.interaction import Principal, Role
from smart_auth.roles import within_role
from smart_auth.session import Session

MRN = "urn:neuronova:mrn"
PAGE = 20
MOST_OFFSET = 1000
_SCOPES = scopes.parse("user/*.rs")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[:.\d]*(Z|[+-]\d\d:\d\d)", re.ASCII)
_HANGUL = re.compile(r"[가-힣]{2,}")
_NAME_USES = ("official", "usual", None)

Resource = Mapping[str, Any]
Parameters = Sequence[tuple[str, str]]


class DirectoryError(SMARTAuthError):
    """Patients cannot be looked up at the moment."""

    code = "ERR_014"
    temporary = True
    status = 503
    sentence = "patients cannot be looked up at the moment"


@dataclass(frozen=True)
class Found:
    """One page of what the person may see."""

    resources: Sequence[Resource] = ()
    has_more: bool = False


class Directory(Protocol):
    """What the facade gives: its search and read under the rights of the principal."""

    async def search(
        self, principal: Principal, address: str | None, type_: str, parameters: Parameters
    ) -> Found:
        """A search as if the principal had sent it."""

    async def read(self, principal: Principal, address: str | None, type_: str, id_: str) -> Resource | None:
        """A read; None for what is missing or not visible."""


@dataclass(frozen=True)
class Looker:
    """One person looking things up in one login."""

    directory: Directory
    principal: Principal
    address: str | None

    async def patients(self, name: str, mrn: str, birth_date: str, offset: int) -> Found:
        """Patients by name, record number and birth date, all that are given; nothing given finds nothing."""
        common: list[tuple[str, str]] = []
        if mrn:
            common.append(("identifier", f"{MRN}|{_escaped(mrn)}"))
        if _DATE.fullmatch(birth_date):
            common.append(("birthdate", birth_date))
        words = name.split()[:5]
        if not common and not words:
            return Found()
        found = await self._patients([*common, *(("name", _escaped(word)) for word in words)], offset)
        if found.resources or len(words) != 1 or not _HANGUL.fullmatch(words[0]):
            return found
        # Written without a space, family name first: the store may hold the two apart.
        family, given = words[0][0], words[0][1:]
        return await self._patients([*common, ("family", family), ("given", given)], offset)

    async def patient(self, id_: str) -> Resource | None:
        """One patient."""
        return await self.read("Patient", id_)

    async def encounters(self, patient: str, offset: int) -> Found:
        """Visits of one patient, newest first."""
        return await self.directory.search(
            self.principal,
            self.address,
            "Encounter",
            [
                ("patient", f"Patient/{patient}"),
                ("_sort", "-date"),
                ("_count", str(PAGE)),
                ("_offset", str(offset)),
            ],
        )

    async def encounter(self, patient: str, id_: str) -> Resource | None:
        """One visit, if it is this patient's."""
        found = await self.read("Encounter", id_)
        return found if found is not None and patient_of(found) == patient else None

    async def read(self, type_: str, id_: str) -> Resource | None:
        """One resource; None for what is missing, not visible or no id at all."""
        if not _ID.fullmatch(id_):
            return None
        return await self.directory.read(self.principal, self.address, type_, id_)

    async def _patients(self, parameters: list[tuple[str, str]], offset: int) -> Found:
        paging = [("_sort", "family,given,birthdate"), ("_count", str(PAGE)), ("_offset", str(offset))]
        return await self.directory.search(self.principal, self.address, "Patient", [*parameters, *paging])


def principal_of(session: Session, role: Role) -> Principal:
    """The person of a login as the caller of a search: the rights of the role, to read and nothing else."""
    return replace(session.principal(), scopes=within_role(_SCOPES, role), session=False)


@dataclass(frozen=True)
class PatientLine:
    """A patient as a person recognises one."""

    id: str
    name: str
    sex: str
    birth_date: str
    mrn: str


@dataclass(frozen=True)
class EncounterLine:
    """A visit as a person recognises one."""

    id: str
    start: str
    end: str
    kind: str
    status: str


def patient_line(patient: Resource) -> PatientLine:
    """What a list shows of a Patient."""
    mrns = [i.get("value") for i in _items(patient, "identifier") if i.get("system") == MRN]
    return PatientLine(
        id=str(patient.get("id", "")),
        name=_name(patient),
        sex=str(patient.get("gender", "")),
        birth_date=str(patient.get("birthDate", "")),
        mrn=str(mrns[0]) if mrns and mrns[0] else "",
    )


def encounter_line(encounter: Resource) -> EncounterLine:
    """What a list shows of an Encounter; times in minutes, as the store has them."""
    period = encounter.get("period")
    period = period if isinstance(period, Mapping) else {}
    kinds = [
        str(
            kind.get("text")
            or next((c.get("display") for c in _items(kind, "coding") if c.get("display")), "")
        )
        for kind in _items(encounter, "type")
    ]
    class_ = encounter.get("class")
    code = str(class_.get("display") or class_.get("code") or "") if isinstance(class_, Mapping) else ""
    return EncounterLine(
        id=str(encounter.get("id", "")),
        start=_minute(period.get("start")),
        end=_minute(period.get("end")),
        kind=next((kind for kind in kinds if kind), code),
        status=str(encounter.get("status", "")),
    )


def _name(patient: Resource) -> str:
    """The names of the first use that is there (Korean and Latin forms beside each other)."""
    names = [name for name in _items(patient, "name") if name.get("use") != "old"]
    for use in _NAME_USES:
        written = [text for name in names if name.get("use") == use and (text := _written(name))]
        if written:
            return " · ".join(dict.fromkeys(written))
    return next((text for name in names if (text := _written(name))), "")


def _written(name: Resource) -> str:
    if name.get("text"):
        return str(name["text"])
    family = str(name.get("family", ""))
    given = [str(part) for part in name.get("given") or ()]
    if re.search(r"[가-힣]", family):
        return family + "".join(given)
    return " ".join(part for part in (*given, family) if part)


def _minute(value: object) -> str:
    """A FHIR dateTime to the minute, with the zone that it was written in."""
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return str(value)[:10] if isinstance(value, str) else ""
    zone = "UTC" if match[3] in ("Z", "+00:00") else match[3]
    return f"{match[1]} {match[2]} {zone}"


def _items(resource: Resource, element: str) -> list[Resource]:
    found = resource.get(element)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _escaped(value: str) -> str:
    """FHIR R4 search.html "Escaping Search Parameters"."""
    return re.sub(r"([\\,$|])", r"\\\1", value.strip()[:100])
