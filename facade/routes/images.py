"""One study as one caller may see it: found by its stored row, decided by its ImagingStudy in HAPI.

What HAPI says is kept for a second, no longer than a revoked token lives: a viewer asks for hundreds of
frames in that time. Rights are decided anew for every request. A study that is not there, not known to HAPI
or not the caller's gives the same NotFoundError after the same calls.

A SEG of the product follows its DiagnosticReport (found by the result key that its series carries): drafts
for staff, released ones for all with the right, rejected or withdrawn ones and such without a report for
nobody. What a reader makes of the images (_READINGS) has no report that releases it, so only staff sees it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from starlette.requests import Request

from facade.access import enter
from facade.audit.event import Viewing, audit_event
from facade.errors import FacadeError, HAPITemporaryError, NotFoundError, RefusedError
from facade.gate import Gate
from facade.hapi import HAPIClient
from facade.log import request_id
from facade.outcome import code_of, status_of
from facade.state import services
from imaging import names
from imaging.corrections import Corrections
from imaging.frames import is_uid
from imaging.index import Index, InstanceRow, SeriesRow, StudyRow
from imaging.study import study_identifier
from smart_auth import released
from smart_auth.interaction import Decision, Interaction

KEEP_S = 1.0
_MOST_KEPT = 2000
# Only while HAPI is down: how long an answer of it is waited for, and when it is asked again.
_PATIENCE_S = 1.5
_AGAIN_S = 5.0
# Segmentations, measurements, presentation states and key images (PS3.3 C.7.3.1.1.1), not the product's own.
_READINGS = frozenset({"SEG", "SR", "PR", "KO"})
DRAFT = frozenset({"registered", "partial", "preliminary"})
# `decide` wants an instance-level read; which instance it is turns out later. No id of HAPI looks like this.
_SOME_STUDY = "-"

Resource = Mapping[str, Any]


class Images:
    """What the DICOMweb routes of one process share."""

    def __init__(self, hapi: HAPIClient, data_dir: Path, *, stale_s: float = 0.0) -> None:
        self.data_dir = data_dir
        self.hapi = hapi
        self._stale_s = stale_s
        self._asked_again: dict[tuple[str, str], float] = {}
        self._kept: dict[tuple[str, str], tuple[float, list[Resource]]] = {}
        self._index: Index | None = None

    @property
    def index(self) -> Index | None:
        """The rows; None before anything was ever stored."""
        if self._index is None and (self.data_dir / "index.db").exists():
            self._index = Index(self.data_dir, read_only=True)
        return self._index

    def rows(self) -> Index:
        """The rows, where something was found in them."""
        if self.index is None:
            raise NotFoundError
        return self.index

    async def by_identifier(self, type_: str, identifier: str) -> Resource | None:
        """The one resource with this identifier, as HAPI had it at most KEEP_S ago.

        While HAPI does not answer, what it said last is used for `stale_s` more: nothing can be released,
        withdrawn or moved meanwhile, and who may ask is decided elsewhere. A viewer goes on with its study.
        """
        key, now = (type_, identifier), time.monotonic()
        kept = self._kept.get(key)
        if kept is None or now - kept[0] >= KEEP_S:
            kept = await self._fresh(key, now, kept)
        return kept[1][0] if len(kept[1]) == 1 else None

    async def _fresh(
        self, key: tuple[str, str], now: float, kept: tuple[float, list[Resource]] | None
    ) -> tuple[float, list[Resource]]:
        is_of_use = kept is not None and now - kept[0] < self._stale_s
        if kept is not None and is_of_use and now - self._asked_again.get(key, -_AGAIN_S) < _AGAIN_S:
            return kept
        try:
            async with asyncio.timeout(_PATIENCE_S if is_of_use else None):
                page = await self.hapi.search(key[0], [("identifier", key[1])], count=2)
        except (HAPITemporaryError, TimeoutError):
            if kept is None or not is_of_use:
                raise
            self._asked_again[key] = time.monotonic()
            return kept
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
            self._asked_again.clear()
        self._asked_again.pop(key, None)
        self._kept[key] = (now, [entry["resource"] for entry in page.get("entry", [])])
        return self._kept[key]


def images(request: Request) -> Images:
    """This process's Images, made at the first request."""
    state = request.app.state
    if not hasattr(state, "images"):
        here = services(request)
        state.images = Images(here.hapi, here.settings.data_dir, stale_s=here.settings.stale_s)
    return cast(Images, state.images)


@dataclass(frozen=True)
class View:
    """A study that this caller may read, and the series of it that are shown to this caller."""

    images: Images
    gate: Gate
    interaction: Interaction
    decision: Decision
    study: StudyRow
    resource: Resource
    series: tuple[SeriesRow, ...]

    @property
    def patient(self) -> str:
        """Reference of the patient that is disclosed."""
        return self.study.patient_ref

    @property
    def is_corrected(self) -> bool:
        """Did an operator say whose study this is?"""
        return Corrections(self.index(), self.images.data_dir).latest(self.study.study_uid) is not None

    def index(self) -> Index:
        """The rows (there are some: the study was found in them)."""
        return self.images.rows()

    def one_series(self, series_uid: str) -> SeriesRow:
        """The series of this study with this UID, if it is shown."""
        for row in self.series:
            if row.series_uid == series_uid:
                return row
        raise NotFoundError

    def instances(self, series_uid: str | None = None) -> list[InstanceRow]:
        """Instances of the shown series, or of one of them."""
        shown = {row.series_uid for row in self.series}
        if series_uid is not None:
            shown &= {self.one_series(series_uid).series_uid}
        rows = self.index().instances(self.study.study_uid, series_uid)
        return [row for row in rows if row.series_uid in shown]

    def instance(self, series_uid: str, sop_uid: str) -> InstanceRow:
        """The instance whose three UIDs are these."""
        self.one_series(series_uid)
        row = self.index().instance(self.study.study_uid, series_uid, sop_uid)
        if row is None:
            raise NotFoundError
        return row

    async def record(self, *, detail: Mapping[str, str], passed: bool = False) -> None:
        """Make the disclosure durable in the trail."""
        await self.gate.record(
            self.interaction,
            what=[f"ImagingStudy/{self.resource['id']}"],
            patients=[self.patient],
            detail=detail,
            passed=passed,
        )

    async def record_viewing(self, series_uid: str) -> None:
        """The same for frames: one event for a caller, series and minute (the spool counts)."""
        await self.gate.services.spool.write(
            audit_event(
                interaction="dicomweb-read",
                action="R",
                who=self.gate.who,
                what=[f"ImagingStudy/{self.resource['id']}"],
                patient=self.patient,
                request_id=request_id.get() or "",
                detail={"series": series_uid},
                viewing=Viewing(self.study.study_uid, series_uid),
            )
        )


async def view(request: Request, study_uid: str) -> View:
    """Open a study for the caller of this request; refusals are recorded before they are raised."""
    interaction = Interaction("dicomweb-read", "ImagingStudy", _SOME_STUDY)
    gate = await enter(request, interaction)
    try:
        return await _view(images(request), gate, interaction, study_uid)
    except FacadeError as error:
        uid = study_uid if is_uid(study_uid) else "unreadable"
        await gate.record(
            interaction,
            what=[f"urn:oid:{uid}"],
            outcome="8" if isinstance(error, RefusedError) or status_of(error) >= 500 else "4",
            reason=code_of(error),
        )
        raise


async def _view(here: Images, gate: Gate, interaction: Interaction, study_uid: str) -> View:
    decision = gate.decide(interaction)
    if not is_uid(study_uid):
        raise NotFoundError
    resource = await here.by_identifier("ImagingStudy", study_identifier(study_uid))
    row = here.index.study(study_uid) if here.index is not None else None
    if row is None or resource is None or not belong_together(row, resource):
        raise NotFoundError
    if not await gate.confirm(decision, resource):
        raise NotFoundError
    rows = cast(Index, here.index).series(study_uid)
    shown = [one for one in rows if await is_shown(here, decision, one)]
    return View(here, gate, interaction, decision, row, resource, tuple(shown))


def belong_together(row: StudyRow, resource: Resource) -> bool:
    """The stored row and the record must name one patient; a withdrawn study is not served."""
    is_withdrawn = resource.get("status") in ("cancelled", "entered-in-error")
    return not is_withdrawn and resource.get("subject", {}).get("reference") == row.patient_ref


async def is_shown(here: Images, decision: Decision, series: SeriesRow) -> bool:
    """May this series be shown under this decision (which covers its study)?"""
    if series.state == "withdrawn":
        return False
    if not series.own:
        return series.modality not in _READINGS or not decision.released_only
    if series.result_key is None:
        return not decision.released_only
    report = await here.by_identifier("DiagnosticReport", f"{names.AI_RESULT}|{series.result_key}")
    if report is None:
        return False
    if report.get("status") in DRAFT:
        return not decision.released_only
    return released.is_released(report)
