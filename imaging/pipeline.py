"""A study's pending instances to HTJ2K: read from Orthanc, convert in children, replace, record.

Safe to run twice and at any moment: what is recorded is not done again, what was left half done is put back
first. Several instances are under way at once, because most of the time is waiting for Orthanc and the
children.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from imaging.child import Children
from imaging.errors import ChildDiedError, DICOMError, OrthancNotFoundError, ReplaceBusyError, ReplaceError
from imaging.frames import is_uid
from imaging.index import Index, InstanceRow, OutcomeRow
from imaging.orthanc import OrthancClient
from imaging.replace import Replacer

log = logging.getLogger(__name__)

_AT_ONCE = 8


@dataclass(frozen=True)
class Counts:
    """Instances by outcome of one run."""

    done: int = 0
    kept: int = 0
    not_applicable: int = 0
    busy: int = 0


class Pipeline:
    """What transcoding needs. One per worker process."""

    def __init__(self, index: Index, orthanc: OrthancClient, children: Children, replacer: Replacer) -> None:
        self._index = index
        self._orthanc = orthanc
        self._children = children
        self._replacer = replacer

    async def transcode_study(self, study_uid: str) -> Counts:
        """Convert all that is pending of one study, until nothing is.

        Raises OrthancTemporaryError (try again later). Instances that another worker is at are counted
        `busy`; the study cannot become available before they are recorded.
        """
        await self._replacer.put_back_leftovers()
        counts: Counter[str] = Counter()
        seen: set[str] = set()
        while rows := [row for row in self._index.pending(study_uid) if row.sop_uid not in seen]:
            for start in range(0, len(rows), _AT_ONCE):
                batch = rows[start : start + _AT_ONCE]
                seen.update(row.sop_uid for row in batch)
                counts.update(await self._batch(batch))
        return Counts(
            done=counts["done"],
            kept=counts["kept"],
            not_applicable=counts["not-applicable"],
            busy=counts["busy"],
        )

    async def _batch(self, rows: list[InstanceRow]) -> list[str]:
        self._index.begin_change([row.sop_uid for row in rows])
        results = await asyncio.gather(*(self._one(row) for row in rows), return_exceptions=True)
        outcomes = [result for result in results if isinstance(result, OutcomeRow)]
        self._index.set_outcomes(outcomes)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result if isinstance(result, str) else result.outcome for result in results]  # type: ignore[union-attr]

    async def _one(self, row: InstanceRow) -> OutcomeRow | Literal["busy"]:
        try:
            original = await self._original(row)
        except OrthancNotFoundError:
            return _kept(row, "Orthanc does not have this instance any more.")
        if original is None:
            # Whoever replaces it records the outcome; a word from here could stand against the stored bytes.
            return "busy"
        try:
            reply = await self._children.call("transcode", {}, original)
        except (ChildDiedError, DICOMError) as error:
            return _kept(row, str(error), original)
        result = reply.header
        if result["outcome"] == "done" and result["digest"] != row.digest:
            return _kept(row, "The pixels are not the ones that were received.", original)
        if reply.parts:
            try:
                await self._replacer.replace(row.orthanc_id, original, reply.parts[0])
            except ReplaceBusyError:
                return "busy"
            except ReplaceError as error:
                return _kept(row, str(error), original)
        return OutcomeRow(
            sop_uid=row.sop_uid,
            outcome=result["outcome"],
            reason=result["reason"],
            transfer_syntax=result["transfer_syntax"],
            bytes_after=len(reply.parts[0]) if reply.parts else len(original),
        )

    async def _original(self, row: InstanceRow) -> bytes | None:
        """The stored bytes; None while another worker has them away (between its DELETE and POST)."""
        for _ in range(2):
            try:
                return await self._orthanc.file(row.orthanc_id)
            except OrthancNotFoundError:
                if self._replacer.is_under_way(row.orthanc_id):
                    return None
                # It may have come back between the two questions: ask again, once.
        raise OrthancNotFoundError("Orthanc does not have it.")


def _kept(row: InstanceRow, reason: str, stored: bytes = b"") -> OutcomeRow:
    log.warning("original kept", extra={"orthanc_id": row.orthanc_id, "reason": reason})
    return OutcomeRow(row.sop_uid, "kept", reason, _syntax(stored) or row.transfer_syntax, row.bytes_before)


def _syntax(data: bytes) -> str:
    """The transfer syntax that a file says, so that the row's label is true whatever was done before a kill.

    Element (0002,0010) of the file meta information: tag, "UI", length 2, value (PS3.10 7.1).
    """
    at = data.find(b"\x02\x00\x10\x00UI", 132, 4096)
    if at < 0:
        return ""
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    text = data[at + 8 : at + 8 + length].rstrip(b"\0 ").decode("ascii", "replace")
    return text if is_uid(text) else ""
