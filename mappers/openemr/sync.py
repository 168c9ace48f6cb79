"""Brings one resource of HAPI into OpenEMR's tables, after everything that it points at.

May run twice, or be killed between any two lines: rows and cross-references are one transaction, a
version that was applied is not applied again, and an older one changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mappers.openemr import diagnostic_report, encounter, patient, practitioner, service_request
from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.elements import Resource
from mappers.openemr.errors import UnmappableError
from mappers.openemr.links import Links, Owner
from mappers.openemr.needs import Need, practitioner_of_role
from mappers.openemr.tables import Mapped
from mappers.openemr.values import version
from mappers.openemr.writer import Writer, Written

Read = Callable[[str, str], Awaitable[dict[str, Any]]]

_TABLES: dict[str, Mapped] = {
    "Practitioner": practitioner.TABLE,
    "Patient": patient.TABLE,
    "Encounter": encounter.TABLE,
    "ServiceRequest": service_request.TABLE,
    "DiagnosticReport": diagnostic_report.TABLE,
}
TYPES = frozenset(_TABLES)


@dataclass(frozen=True)
class Applied:
    """What was done: `current`: this version or a newer one was there; `unsigned`: a report waits to be
    signed."""

    type: str
    id: str
    version: int
    outcome: Literal["written", "current", "unsigned"]
    rows: tuple[Written, ...] = ()


async def sync(type_: str, id_: str, *, read: Read, database: OpenEMRDatabase) -> Applied:
    """Read the newest version of a resource and bring OpenEMR up to it."""
    if type_ not in TYPES:
        raise UnmappableError(f"{type_} has no place in OpenEMR.")
    return await _Run(read, database).bring(type_, id_)


@dataclass
class _Run:
    """One resource with what it points at."""

    read: Read
    database: OpenEMRDatabase
    keys: dict[Need, int] = field(default_factory=dict)

    async def bring(self, type_: str, id_: str) -> Applied:
        resource = await self.read(type_, id_)
        number = version(resource)
        known = await asyncio.to_thread(self._known, type_, id_)
        if known is not None and known[1] >= number:
            return Applied(type_, id_, number, "current")
        if type_ == "DiagnosticReport" and known is None and not diagnostic_report.due(resource):
            return Applied(type_, id_, number, "unsigned")
        for need in _needs(resource):
            await self._have(need)
        results: list[Resource] = [await self.read(*need) for need in _attached(resource)]
        return await asyncio.to_thread(self._write, resource, results)

    async def _have(self, need: Need) -> None:
        """Make sure that the row of a reference is there, and learn its key."""
        target = need
        if need[0] == "PractitionerRole":
            target = practitioner_of_role(await self.read(*need))
        known = await asyncio.to_thread(self._known, *target)
        if known is None:
            await self.bring(*target)
            known = await asyncio.to_thread(self._known, *target)
        if known is None:
            raise UnmappableError(f"{target[0]} was not written.")
        self.keys[need] = known[0]

    def _known(self, type_: str, id_: str) -> tuple[int, int] | None:
        """Return the row's key and the version that was applied."""
        with self.database.reading() as connection:
            link = Links(connection, self.database.sync_schema).find(type_, id_, _TABLES[type_].name)
        return None if link is None else (link.keys()[0], link.version)

    def _write(self, resource: Resource, results: list[Resource]) -> Applied:
        owner = Owner(resource["resourceType"], resource["id"], version(resource))
        with self.database.transaction(f"{owner.type}/{owner.id}") as connection:
            writer = Writer(self.database, connection, owner)
            link = writer.links.find(owner.type, owner.id, _TABLES[owner.type].name)
            if link is not None and link.version >= owner.version:
                return Applied(owner.type, owner.id, owner.version, "current")
            if owner.type == "DiagnosticReport":
                diagnostic_report.store(writer, resource, self.keys, results)
            else:
                _MAPPERS[owner.type].store(writer, resource, self.keys)
        return Applied(owner.type, owner.id, owner.version, "written", tuple(writer.written))


_MAPPERS = {
    "Practitioner": practitioner,
    "Patient": patient,
    "Encounter": encounter,
    "ServiceRequest": service_request,
}


def _needs(resource: Resource) -> list[Need]:
    type_ = resource["resourceType"]
    return (
        diagnostic_report.needs(resource) if type_ == "DiagnosticReport" else _MAPPERS[type_].needs(resource)
    )


def _attached(resource: Resource) -> list[Need]:
    return diagnostic_report.attached(resource) if resource["resourceType"] == "DiagnosticReport" else []
