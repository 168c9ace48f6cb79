"""Job `sync_openemr`: one resource of HAPI into OpenEMR's tables, by mappers.openemr.

The mapper reads what it needs and applies the newest version once; an older one that comes later changes
nothing.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from facade.errors import HAPIGoneError, HAPINotFoundError
from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.errors import OpenEMRError
from mappers.openemr.settings import OpenEMRSettings
from mappers.openemr.sync import sync
from subscriptions.clients import Clients
from subscriptions.errors import WrongWorkerError
from subscriptions.trail import Trail, follow

WAIT_S = 1
_log = logging.getLogger(__name__)


class AuditedDatabase(OpenEMRDatabase):
    """OpenEMR's database with a durable intent in the trail before each transaction."""

    trail: Trail

    @contextmanager
    def transaction(self, resource: str) -> Iterator[Any]:
        """Open a transaction when the intent is on record."""
        patient = resource if resource.startswith("Patient/") else None
        self.trail.record_sync("openemr-write", "U", what=[resource], patient=patient, phase="intent")
        with super().transaction(resource) as connection:
            yield connection


def connect(settings: OpenEMRSettings) -> AuditedDatabase:
    """The database, its grants checked and its columns known, with no connection open: a fork follows.

    :raises OpenEMRError: the account may do more than it should, or the schema does not fit
    """
    database = AuditedDatabase(settings)
    said = False
    while True:
        try:
            database.prepare()
        except OpenEMRError as error:
            if not error.temporary:
                raise
            if not said:
                _log.warning("waiting for OpenEMR's database", extra={"error_code": error.code})
            said = True
            time.sleep(WAIT_S)
            continue
        database.close()
        return database


async def sync_openemr(type_: str, id_: str, clients: Clients) -> None:
    """Apply the present version of a resource; one that is gone leaves OpenEMR's row as it is."""
    database = clients.openemr
    if database is None:
        raise WrongWorkerError
    try:
        resource = await clients.hapi.read(type_, id_)
    except (HAPINotFoundError, HAPIGoneError):
        return
    follow(resource)
    database.trail = clients.trail
    applied = await sync(type_, id_, read=clients.hapi.read, database=database)
    if applied.rows:
        rows = {f"{row.table}": f"{row.action} {row.key}" for row in applied.rows}
        await clients.trail.record(
            "openemr-write",
            "U",
            what=[f"{type_}/{id_}/_history/{applied.version}"],
            patient=_patient(resource),
            detail={"phase": "outcome", **rows},
        )


def _patient(resource: dict[str, Any]) -> str | None:
    if resource["resourceType"] == "Patient":
        return f"Patient/{resource['id']}"
    reference: str = resource.get("subject", {}).get("reference", "")
    return reference if reference.startswith("Patient/") else None
