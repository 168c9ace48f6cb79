"""Stores what the product itself wrote (a SEG), and says so first: ingest must not take it for news."""

from __future__ import annotations

from imaging.child import Children
from imaging.index import Index
from imaging.orthanc import OrthancClient, Stored


async def store_own(
    index: Index, orthanc: OrthancClient, children: Children, data: bytes, result_key: str | None
) -> Stored:
    """Announce and store one instance. Running it again with the same bytes changes nothing.

    `result_key` binds its series to an AI result: it is shown as the result's DiagnosticReport allows.
    """
    found = await children.inspect(data)
    index.announce_own(found.sop_uid, found.digest, result_key)
    return await orthanc.store(data)
