"""A study's pending instances to HTJ2K: read from Orthanc, convert in children, replace, record.

Safe to run twice and at any moment: what is recorded is not done again, what was left half done is put back
first. Several instances are under way at once, because most of the time is waiting for Orthanc and the
children.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imaging.child import Children
from imaging.errors import ChildDiedError, DICOMError, OrthancNotFoundError, ReplaceBusyError, ReplaceError
from imaging.fetched import fetched, nameless
from imaging.file_meta import transfer_syntax
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
        async with AsyncExitStack() as stack:
            try:
                original = await self._original(row, stack)
            except OrthancNotFoundError:
                return _kept(row, "Orthanc does not have this instance any more.")
            if original is None:
                # Whoever replaces it records the outcome; a word from here could stand against the stored
                # bytes.
                return "busy"
            return await self._convert(row, original, stack.enter_context(nameless(self._replacer.directory)))

    async def _convert(self, row: InstanceRow, original: Path, new: Path) -> OutcomeRow | Literal["busy"]:
        try:
            result = await self._children.transcode(original, new)
        except (ChildDiedError, DICOMError) as error:
            return _kept(row, str(error), original)
        if result["outcome"] == "done" and result["digest"] != row.digest:
            return _kept(row, "The pixels are not the ones that were received.", original)
        if result["is_written"]:
            try:
                await self._replacer.replace(row.orthanc_id, original, new)
            except ReplaceBusyError:
                return "busy"
            except ReplaceError as error:
                return _kept(row, str(error), original)
        return OutcomeRow(
            sop_uid=row.sop_uid,
            outcome=result["outcome"],
            reason=result["reason"],
            transfer_syntax=result["transfer_syntax"],
            bytes_after=(new if result["is_written"] else original).stat().st_size,
        )

    async def _original(self, row: InstanceRow, stack: AsyncExitStack) -> Path | None:
        """The stored bytes; None while another worker has them away (between its DELETE and POST)."""
        for _ in range(2):
            try:
                stored = fetched(self._orthanc, row.orthanc_id, self._replacer.directory)
                return await stack.enter_async_context(stored)
            except OrthancNotFoundError:
                if self._replacer.is_under_way(row.orthanc_id):
                    return None
                # It may have come back between the two questions: ask again, once.
        raise OrthancNotFoundError("Orthanc does not have it.")


def _kept(row: InstanceRow, reason: str, stored: Path | None = None) -> OutcomeRow:
    """The outcome of an instance that stays; its label is true whatever was done before a kill."""
    log.warning("original kept", extra={"orthanc_id": row.orthanc_id, "reason": reason})
    syntax = ""
    if stored is not None:
        with open(stored, "rb") as file:
            syntax = transfer_syntax(file.read(4096))
    return OutcomeRow(row.sop_uid, "kept", reason, syntax or row.transfer_syntax, row.bytes_before)
