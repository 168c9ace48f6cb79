"""Modalities, beside what `facade.identify` knows of senders, patients and orders.

The moment for which answers are kept is short, so that a modality or patient registered just now is found.
"""

from facade.hapi import HAPIClient
from facade.identify import Identities, Resource
from subscriptions.names import AE_TITLE_SYSTEM

KEEP_S = 2


class Directory(Identities):
    """The lookups of ingest."""

    def __init__(self, hapi: HAPIClient) -> None:
        super().__init__(hapi, keep_s=KEEP_S)

    async def modalities(self) -> list[Resource]:
        """Every active modality: Devices with an AE title."""
        found = await self.found("Device", f"{AE_TITLE_SYSTEM}|")
        return [device for device in found if device.get("status") == "active"]

    async def modality(self, aet: str) -> Resource | None:
        """The one active modality with this AE title."""
        found = [device for device in await self.modalities() if ae_title(device) == aet]
        return found[0] if len(found) == 1 else None


def ae_title(device: Resource) -> str | None:
    """The AE title of a modality."""
    for identifier in device.get("identifier", []):
        if identifier.get("system") == AE_TITLE_SYSTEM and identifier.get("value"):
            return str(identifier["value"])
    return None
