"""What a correction of identity works with: HAPI, images, logins, the trail; opened and closed here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from facade.hapi import HAPIClient
from facade.settings import FacadeSettings
from imaging.settings import ImagingSettings
from neuronova.installation import Installation
from smart_auth import contexts
from smart_auth.database import Database
from smart_auth.settings import SMARTAuthSettings
from smart_auth.store import Store, connect
from subscriptions.correct import Outside
from subscriptions.pacs import open_pacs
from subscriptions.settings import SubscriptionsSettings

WAIT_S = 60
"""One transaction may hold a whole record."""


@asynccontextmanager
async def opened(
    installation: Installation, kind: str, what: Sequence[str], reason: str
) -> AsyncIterator[tuple[Outside, HAPIClient]]:
    """The outside of a correction, and HAPI with the right to write patients and orders.

    :param kind: how the trail names what is done, with `what` it is done to and the reason
    """
    installation.use("facade")
    logins, facade = SMARTAuthSettings(), FacadeSettings()
    installation.use("ingest")
    settings, imaging = SubscriptionsSettings.from_environment(), ImagingSettings()
    secret, registry_secret = settings.hapi_secret.get_secret_value(), facade.hapi_secret.get_secret_value()
    database = Database(logins.database_url.get_secret_value())
    redis = connect(logins.redis_url.get_secret_value())

    def record(patient: str, phase: str) -> None:
        installation.record(kind, "U", what=what, patient=patient, reason=reason, phase=phase)

    async def end_access(patients: Sequence[str]) -> None:
        ids = [patient.removeprefix("Patient/") for patient in patients]
        await contexts.end(database, Store(redis), ids, token_s=logins.longest_token_s)

    try:
        database.migrate()
        async with (
            HAPIClient(settings.hapi_url, secret, connections=2, timeout_s=WAIT_S) as hapi,
            HAPIClient(settings.hapi_url, registry_secret, connections=2, timeout_s=WAIT_S) as registry,
            open_pacs(imaging) as pacs,
        ):
            yield Outside(hapi, pacs, record, end_access), registry
    finally:
        await redis.aclose()
        database.close()
