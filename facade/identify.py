"""What HAPI knows of a patient and an order, as the identity rules (`imaging.identity`) ask for it on an
upload.

Answers are kept while one upload is decided: hundreds of instances ask the same three questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from facade.hapi import HAPIClient
from imaging import identity, names
from imaging.identity import IdentityTags, Matched, Quarantine, Source

_ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\|$,"})


def token(system: str | None, value: str) -> str:
    """A token parameter, with its special characters escaped (FHIR R4, search, 3.1.1.4.5)."""
    escaped = value.translate(_ESCAPED)
    return escaped if system is None else f"{system}|{escaped}"


class Identities:
    """Lookups for one upload."""

    def __init__(self, hapi: HAPIClient, source: Source) -> None:
        self._hapi = hapi
        self._source = source
        self._kept: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        self._decided: dict[IdentityTags, Matched | Quarantine] = {}

    async def identify(self, tags: IdentityTags) -> Matched | Quarantine:
        """Whose instance this is, by the rules that ingest applies again when it takes it in."""
        if tags not in self._decided:
            self._decided[tags] = await self._identify(tags)
        return self._decided[tags]

    async def _identify(self, tags: IdentityTags) -> Matched | Quarantine:
        organizations = await self._all("Organization", f"{names.PATIENT_IDENTIFIER_SYSTEM}|")
        system = identity.identifier_system(tags.issuer, self._source, organizations)
        patient_id = identity.trimmed(tags.patient_id)
        patients: Sequence[Mapping[str, Any]] = []
        if system is not None and patient_id:
            patients = await self._all("Patient", token(system, patient_id))
        matched = identity.match(tags, system, patients)
        accession = identity.trimmed(tags.accession)
        if isinstance(matched, Quarantine) or not accession:
            return matched
        orders = await self._all("ServiceRequest", token(None, accession))
        order = identity.order(accession, matched.patient_ref, orders)
        return order if isinstance(order, Quarantine) else matched

    async def _all(self, type_: str, identifier: str) -> list[Mapping[str, Any]]:
        key = (type_, identifier)
        if key not in self._kept:
            found = self._hapi.search_all(type_, [("identifier", identifier)])
            self._kept[key] = [resource async for resource in found]
        return self._kept[key]
