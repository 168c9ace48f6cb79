"""What HAPI knows of senders, patients and orders, as the identity rules (`imaging.identity`) ask for it.

The one owner of these lookups: an upload asks before it stores, ingest asks again when it takes in. Answers
are kept for a moment, because hundreds of instances of one study ask the same three questions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facade.hapi import HAPIClient
from imaging import identity, names
from imaging.identity import BasedOn, IdentityTags, Quarantine, Source

_ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\|$,"})
_MOST_KEPT = 1000

Resource = dict[str, Any]


def token(system: str | None, value: str) -> str:
    """A token parameter, with its special characters escaped (FHIR R4, search, 3.1.1.4.5)."""
    escaped = value.translate(_ESCAPED)
    return escaped if system is None else f"{system}|{escaped}"


@dataclass(frozen=True)
class Identified:
    """Whose study it is, and which order it belongs to."""

    patient_ref: str
    based_on: str | None


class Identities:
    """Lookups for the identity rules; answers are kept for `keep_s` seconds (None: as long as this is)."""

    def __init__(self, hapi: HAPIClient, *, keep_s: float | None = None) -> None:
        self._hapi = hapi
        self._keep_s = keep_s
        self._kept: dict[tuple[str, str], tuple[float, list[Resource]]] = {}

    async def identify(self, tags: IdentityTags, source: Source) -> Identified | Quarantine:
        """Apply the rules of design section 4 to one instance.

        :raises HAPIError: HAPI did not answer
        """
        organizations = await self.organizations()
        system = identity.identifier_system(tags.issuer, source, organizations)
        patient_id = identity.trimmed(tags.patient_id)
        patients: list[Resource] = []
        if system is not None and patient_id:
            patients = await self.found("Patient", token(system, patient_id))
        matched = identity.match(tags, system, patients)
        if isinstance(matched, Quarantine):
            return matched
        order = await self.order(tags.accession, matched.patient_ref)
        if isinstance(order, BasedOn):
            return Identified(matched.patient_ref, order.service_request_ref)
        return order

    async def order(self, accession: str, patient_ref: str) -> BasedOn | Quarantine:
        """The order with this accession, as far as it is this patient's."""
        wanted = identity.trimmed(accession)
        orders: Sequence[Resource] = await self.found("ServiceRequest", token(None, wanted)) if wanted else ()
        return identity.order(accession, patient_ref, orders)

    async def organizations(self) -> list[Resource]:
        """Every Organization that has an identifier system of its own for patients."""
        return await self.found("Organization", f"{names.PATIENT_IDENTIFIER_SYSTEM}|")

    async def found(self, type_: str, identifier: str) -> list[Resource]:
        """Every resource of a type with this identifier."""
        key, now = (type_, identifier), time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and (self._keep_s is None or now - kept[0] < self._keep_s):
            return kept[1]
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        answer = [one async for one in self._hapi.search_all(type_, [("identifier", identifier)])]
        self._kept[key] = (now, answer)
        return answer
