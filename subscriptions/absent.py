"""What an administrator deleted in Orthanc itself: noticed, and told to the record.

Orthanc 1.10.1 does not write deletions into its change feed, so the stored rows are compared with what
Orthanc has: at the start, and every few minutes. A study that is gone is withdrawn with everything that
nobody signed; one that has lost a part is published again without it, and analysed again if that was its
input. What was changed there and put back is a deletion and an arrival, identified like any other.
Sources: Orthanc 1.10.1 (ServerEnumerations.h: ChangeType_Deleted is not logged); FHIR R4 ImagingStudy.status.
"""

import logging
import time
from collections import defaultdict
from typing import Any

from imaging.corrections import Correction
from imaging.errors import CorrectionBusyError
from imaging.index import InstanceRow
from imaging.metadata import remove_metadata
from subscriptions.arrivals import Arrivals
from subscriptions.clients import Clients
from subscriptions.correct import withdraw
from subscriptions.pacs import Pacs
from subscriptions.quarantine import subject
from subscriptions.release import close_task
from subscriptions.results import REASONS

FEW = 5
"""So many studies may go at once, whatever share of all they are."""

_log = logging.getLogger(__name__)
Resource = dict[str, Any]


class Absences:
    """Looks for what is gone."""

    def __init__(self, clients: Clients, pacs: Pacs, arrivals: Arrivals, every_s: float) -> None:
        self._clients = clients
        self._pacs = pacs
        self._arrivals = arrivals
        self._every_s = every_s
        self._next = 0.0
        self._refused = False

    async def look(self) -> None:
        """Compare, when it is time; killed anywhere, the next look does the rest.

        :raises HAPIError, ImagingError, AuditUnavailableError: something did not answer
        """
        if time.monotonic() < self._next:
            return
        try:
            with self._pacs.corrections.one_at_a_time():
                await self._finish()
                await self._compare()
        except CorrectionBusyError:
            return  # an operator is at it; the next look comes soon
        self._next = time.monotonic() + self._every_s

    async def _compare(self) -> None:
        present = set(await self._pacs.orthanc.instances())
        rows = self._pacs.corrections.stored()
        suspects: dict[str, list[str]] = defaultdict(list)
        for orthanc_id, study_uid in rows:
            if orthanc_id not in present:
                suspects[study_uid].append(orthanc_id)
        if self._is_disaster(suspects, len(rows)):
            return
        for study_uid, ids in suspects.items():
            if not self._pacs.corrections.is_under_way(study_uid):
                await self._settle(study_uid, [one for one in ids if await self._is_gone(one)])
        await self._quarantined(present)

    def _is_disaster(self, suspects: dict[str, list[str]], known: int) -> bool:
        """Most of everything is gone: a disk that is not mounted, not somebody who deletes."""
        is_one = len(suspects) > FEW and sum(map(len, suspects.values())) * 2 > known
        if is_one and not self._refused:
            _log.error(
                "most images are gone from Orthanc; nothing is withdrawn", extra={"studies": len(suspects)}
            )
        self._refused = is_one
        return is_one

    async def _is_gone(self, orthanc_id: str) -> bool:
        """It may be back: stored since, or between DELETE and POST of a replacement."""
        index, replacer = self._pacs.index, self._pacs.replacer
        before = index.by_orthanc_id(orthanc_id)
        if before is None or before.in_change or replacer.is_under_way(orthanc_id):
            return False
        if await self._pacs.orthanc.exists(orthanc_id):
            return False
        # A replacement that began and ended meanwhile has left another row.
        return index.by_orthanc_id(orthanc_id) == before and not replacer.is_under_way(orthanc_id)

    async def _settle(self, study_uid: str, gone: list[str]) -> None:
        index = self._pacs.index
        study, rows = index.study(study_uid), index.instances(study_uid)
        if study is None or not gone:
            return
        what = [f"urn:oid:{study_uid}"]
        if all(row.own or row.orthanc_id in gone for row in rows):
            correction = self._pacs.corrections.begin(
                "deletion",
                study.patient_ref,
                "",
                reason=REASONS["deletion"],
                operator="ingest",
                at=time.time(),
                study_uids=[study_uid],
            )
            await self._withdraw(correction, study_uid, rows)
            return
        detail = {"instances": str(len(gone)), "deleted": "a part"}
        async with self._clients.trail.around(
            "study-deleted", "D", what=what, patient=study.patient_ref, detail=detail
        ):
            self._pacs.corrections.forget(study_uid, gone)
            self._remove_metadata([row for row in rows if row.orthanc_id in gone])
        _log.warning("a part of a study was deleted in Orthanc", extra={"instances": len(gone)})

    async def _finish(self) -> None:
        for correction in self._pacs.corrections.unfinished():
            if correction.kind == "deletion":
                for study_uid in self._pacs.corrections.studies(correction):
                    rows = self._pacs.index.instances(study_uid)
                    await self._withdraw(correction, study_uid, rows)
                    # Sent again since: the change feed has passed them as known.
                    again = [
                        row.orthanc_id for row in rows if await self._pacs.orthanc.exists(row.orthanc_id)
                    ]
                    await self._arrivals.take(again)
            else:
                # Nobody is at it: the lock is ours. Only who began it knows whether it is still meant.
                _log.error(
                    "a correction was begun and is not finished: run the same command again",
                    extra={"command": correction.kind, "correction": correction.id},
                )

    async def _withdraw(self, correction: Correction, study_uid: str, rows: list[InstanceRow]) -> None:
        async with self._clients.trail.around(
            "study-deleted", "D", what=[f"urn:oid:{study_uid}"], patient=correction.from_ref
        ):
            await withdraw(self._clients.hapi, self._pacs, correction, _withdrawn)
            self._pacs.corrections.forget(study_uid, [row.orthanc_id for row in rows])
            self._remove_metadata(rows)
            self._pacs.corrections.finish(correction)
        _log.warning("a study was deleted in Orthanc")

    def _remove_metadata(self, rows: list[InstanceRow]) -> None:
        for row in rows:
            remove_metadata(self._pacs.data_dir, row.study_uid, row.series_uid, row.sop_uid)

    async def _quarantined(self, present: set[str]) -> None:
        index = self._pacs.index
        gone = [row for row in index.quarantined() if row.orthanc_id not in present]
        for row in gone:
            if not await self._pacs.orthanc.exists(row.orthanc_id):
                index.release(row.orthanc_id)
        left = {subject(row) for row in index.quarantined()}
        for about in {subject(row) for row in gone} - left:
            await close_task(self._clients.hapi, about, REASONS["deletion"])


def _withdrawn(study: Resource) -> Resource:
    """`entered-in-error` withdraws what was published, `cancelled` what never was (FHIR R4)."""
    return {**study, "status": "entered-in-error" if study["status"] == "available" else "cancelled"}
