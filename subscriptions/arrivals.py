"""What came into Orthanc: read it, decide whose it is, write its rows or set it aside.

Parsing happens in children without secrets. An instance that is known already (taken in before a kill, or
replaced by our own transcoding) costs one look at its row.
"""

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Sequence

from facade import log
from facade.audit.event import Who
from facade.errors import HAPIPermanentError
from facade.identify import Identified
from imaging import arrival as imaging_arrival
from imaging.arrival import Arrival
from imaging.errors import (
    ChildDiedError,
    DICOMError,
    OrthancError,
    OrthancNotFoundError,
    OtherPixelsError,
    UIDConflictError,
)
from imaging.identity import Quarantine, Source
from subscriptions.clients import Clients
from subscriptions.directory import Directory
from subscriptions.pacs import Pacs

AT_ONCE = 8
"""Instances that are read at the same time: enough to keep two children and Orthanc busy."""

REMEMBERED = 20_000
"""Files that `subscriptions.again` need not parse."""

_log = logging.getLogger(__name__)


class Arrivals:
    """Takes instances in."""

    def __init__(self, clients: Clients, pacs: Pacs, directory: Directory) -> None:
        self._clients = clients
        self._pacs = pacs
        self._directory = directory
        self._request_ids: dict[str, str] = {}
        self.taken_in: dict[str, None] = {}
        """MD5 of the files from outside that were looked at lately, oldest first."""

    def request_id_of(self, study_uid: str) -> str:
        """The request that brought the newest instance of a study: the upload's, or one of our own."""
        return self._request_ids.setdefault(study_uid, uuid.uuid4().hex)

    async def take(self, orthanc_ids: Sequence[str]) -> list[str]:
        """Take in instances; returns the studies that have something new."""
        changed: dict[str, None] = {}
        for start in range(0, len(orthanc_ids), AT_ONCE):
            chunk = orthanc_ids[start : start + AT_ONCE]
            read = await asyncio.gather(*(self._read(id_) for id_ in dict.fromkeys(chunk)))
            arrivals = [arrival for arrival in read if arrival is not None]
            await self._audit([arrival for arrival in arrivals if arrival.upload is None and not arrival.own])
            for arrival in arrivals:
                if await self._decide(arrival):
                    changed[arrival.inspection.study_uid] = None
        return list(changed)

    async def _read(self, orthanc_id: str) -> Arrival | None:
        pacs = self._pacs
        try:
            arrival = await imaging_arrival.look(pacs.index, pacs.orthanc, pacs.children, orthanc_id)
        except OrthancNotFoundError:
            return None  # deleted since, or between DELETE and POST of a replacement whose row is there
        except (DICOMError, ChildDiedError, OrthancError) as error:
            if error.temporary:
                raise
            if imaging_arrival.set_aside_unread(pacs.index, orthanc_id, str(error)):
                _log.warning("an unreadable instance was quarantined", extra={"orthanc_id": orthanc_id})
            self._remember(await pacs.orthanc.md5(orthanc_id))
            return None
        if arrival is not None:
            self._remember(arrival.inspection.file_md5)
        return arrival

    def _remember(self, file_md5: str) -> None:
        self.taken_in[file_md5] = None
        if len(self.taken_in) > REMEMBERED:
            del self.taken_in[next(iter(self.taken_in))]

    async def _decide(self, arrival: Arrival) -> bool:
        """Rows for an instance that belongs to somebody, quarantine for any other."""
        study_uid = arrival.inspection.study_uid
        if arrival.upload is not None:
            self._request_ids[study_uid] = arrival.upload.request_id
        log.request_id.set(self.request_id_of(study_uid))
        identified = await self._identify(arrival)
        if isinstance(identified, Identified):
            try:
                is_new = imaging_arrival.take_in(
                    self._pacs.index,
                    self._pacs.data_dir,
                    arrival,
                    identified.patient_ref,
                    identified.based_on,
                )
                return is_new and not arrival.own
            except (UIDConflictError, OtherPixelsError) as error:
                identified = Quarantine(error.code, str(error))
        if imaging_arrival.set_aside(self._pacs.index, arrival, identified):
            _log.warning("an instance was quarantined", extra={"reason_code": identified.code})
        return False

    async def _identify(self, arrival: Arrival) -> Identified | Quarantine:
        if arrival.own:
            # Ours by announced UID and digest: it belongs to the patient of its study.
            study = self._pacs.index.study(arrival.inspection.study_uid)
            if study is not None:
                return Identified(study.patient_ref, study.based_on)
            return Quarantine("unknown-study", "The study of this segmentation is not known.")
        if arrival.inspection.needs_pixels and not arrival.inspection.has_pixels:
            return Quarantine("no-pixel-data", "An image without pixel data.")
        source = await self._source(arrival)
        try:
            return await self._directory.identify(arrival.inspection.tags, source)
        except HAPIPermanentError:
            # One odd PatientID or accession must not hold up everything that comes after it.
            return Quarantine("lookup-refused", "The record store cannot search for this patient or order.")

    async def _source(self, arrival: Arrival) -> Source:
        upload, origin = arrival.upload, arrival.origin
        if upload is not None:
            return Source("stow", upload.uploader, upload.organization, upload.staff, upload.address)
        device = await self._directory.modality(origin.aet)
        owner = (device or {}).get("owner", {}).get("reference")
        return Source("c-store", origin.aet, owner, False, origin.address)

    async def _audit(self, arrivals: Sequence[Arrival]) -> None:
        """One record for each sender and study: who sent it by C-STORE, from which address."""
        groups: dict[tuple[str, str, str], int] = defaultdict(int)
        for arrival in arrivals:
            groups[(arrival.origin.aet, arrival.origin.address, arrival.inspection.study_uid)] += 1
        for (aet, address, study_uid), count in groups.items():
            device = await self._directory.modality(aet)
            study = self._pacs.index.study(study_uid)
            log.request_id.set(self.request_id_of(study_uid))
            await self._clients.trail.record(
                "dicom-store",
                "C",
                what=[f"urn:oid:{study_uid}"],
                patient=study.patient_ref if study else None,
                detail={"instances": str(count), "ae-title": aet},
                who=Who(
                    reference=f"Device/{device['id']}" if device else None,
                    display_role="modality",
                    client_id=aet or None,
                    address=address or None,
                ),
            )
