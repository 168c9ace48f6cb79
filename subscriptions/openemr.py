"""Job `sync_openemr`: one resource of HAPI into OpenEMR's tables, by mappers.openemr.

The mapper reads what it needs and applies the newest version once; an older one that comes later changes nothing.
"""

import importlib
from typing import Any

from facade.errors import HAPIGoneError, HAPINotFoundError
from subscriptions.clients import Clients
from subscriptions.trail import follow


async def sync_openemr(type_: str, id_: str, clients: Clients) -> None:
    """Apply the present version of a resource; one that is gone leaves OpenEMR's row as it is."""
    try:
        resource = await clients.hapi.read(type_, id_)
    except (HAPINotFoundError, HAPIGoneError):
        return
    follow(resource)
    sync: Any = importlib.import_module("mappers.openemr.sync")
    await sync.sync(type_, id_, read=clients.hapi.read)
