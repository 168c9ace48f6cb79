"""What HAPI knows of senders, patients and orders, as imaging.identity asks for it.

Answers are kept for a moment: 620 instances of one study ask the same four questions. The moment is short, so
that a modality or patient registered just now is found.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from facade.hapi import HAPIClient
from imaging import identity
from imaging.identity import BasedOn, IdentityTags, Matched, Quarantine, Source
from subscriptions.names import AE_TITLE_SYSTEM, PATIENT_IDENTIFIER_SYSTEM

KEEP_S = 2
_ESCAPED = str.maketrans({character: f"\\{character}" for character in "\\|$,"})

Resource = dict[str, Any]


def token(system: str | None, value: str) -> str:
    """A token parameter; `\\`, `|`, `$` and `,` in a value are escaped (FHIR R4, search, 3.1.1.4.5)."""
    escaped = value.translate(_ESCAPED)
    return escaped if system is None else f"{system}|{escaped}"


@dataclass(frozen=True)
class Identified:
    """Whose study it is, and which order it belongs to."""

    patient_ref: str
    based_on: str | None


class Directory:
    """Lookups for the identity rules."""

    def __init__(self, hapi: HAPIClient) -> None:
        self._hapi = hapi
        self._kept: dict[tuple[str, ...], tuple[float, list[Resource]]] = {}

    async def identify(self, tags: IdentityTags, source: Source) -> Identified | Quarantine:
        """Apply the rules of design section 4 to one instance.

        :raises HAPIError: HAPI did not answer
        """
        organizations = await self.organizations()
        system = identity.identifier_system(tags.issuer, source, organizations)
        patients = await self._patients(system, identity.trimmed(tags.patient_id))
        matched = identity.match(tags, system, patients)
        if isinstance(matched, Quarantine):
            return matched
        return await self._with_order(tags, matched)

    async def _with_order(self, tags: IdentityTags, matched: Matched) -> Identified | Quarantine:
        orders = await self._orders(identity.trimmed(tags.accession))
        order = identity.order(tags.accession, matched.patient_ref, orders)
        if isinstance(order, BasedOn):
            return Identified(matched.patient_ref, order.service_request_ref)
        return order

    async def organizations(self) -> list[Resource]:
        """Every Organization that has an identifier system of its own for patients."""
        return await self._search("Organization", [("identifier", f"{PATIENT_IDENTIFIER_SYSTEM}|")])

    async def modalities(self) -> list[Resource]:
        """Every active modality: Devices with an AE title."""
        found = await self._search("Device", [("identifier", f"{AE_TITLE_SYSTEM}|")])
        return [device for device in found if device.get("status") == "active"]

    async def modality(self, aet: str) -> Resource | None:
        """The one active modality with this AE title."""
        found = [device for device in await self.modalities() if ae_title(device) == aet]
        return found[0] if len(found) == 1 else None

    async def _patients(self, system: str | None, patient_id: str) -> list[Resource]:
        if system is None or not patient_id:
            return []
        return await self._search("Patient", [("identifier", token(system, patient_id))])

    async def _orders(self, accession: str) -> list[Resource]:
        if not accession:
            return []
        return await self._search("ServiceRequest", [("identifier", token(None, accession))])

    async def _search(self, type_: str, params: Sequence[tuple[str, str]]) -> list[Resource]:
        return await self._keep(
            (type_, *(f"{name}={value}" for name, value in params)),
            lambda: self._all(type_, params),
        )

    async def _all(self, type_: str, params: Sequence[tuple[str, str]]) -> list[Resource]:
        return [resource async for resource in self._hapi.search_all(type_, params)]

    async def _keep(
        self, key: tuple[str, ...], ask: Callable[[], Awaitable[list[Resource]]]
    ) -> list[Resource]:
        now = time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < KEEP_S:
            return kept[1]
        if len(self._kept) > 1000:
            self._kept.clear()
        answer = await ask()
        self._kept[key] = (now, answer)
        return answer


def ae_title(device: Resource) -> str | None:
    """The AE title of a modality."""
    for identifier in device.get("identifier", []):
        if identifier.get("system") == AE_TITLE_SYSTEM and identifier.get("value"):
            return str(identifier["value"])
    return None
