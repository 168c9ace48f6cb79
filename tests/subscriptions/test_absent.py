"""What counts as deleted in Orthanc, and what does not."""

import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from imaging.child import Children
from imaging.corrections import Corrections
from imaging.index import Index, InstanceRow, OutcomeRow, SeriesRow, StudyRow
from imaging.orthanc import OrthancClient
from imaging.orthanc_id import orthanc_id
from imaging.pipeline import Pipeline
from imaging.replace import Replacer
from imaging.restore import Restorer
from subscriptions.absent import Absences
from subscriptions.pacs import Pacs

ID = orthanc_id("1", "1.2", "1.2.3", "1.2.3.4")


class Orthanc(httpx.AsyncBaseTransport):
    """Has nothing; `then` happens while it is asked for one instance."""

    then: Callable[[], None] = staticmethod(lambda: None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/instances"):
            return httpx.Response(200, content=json.dumps([]))
        type(self).then()
        return httpx.Response(404)


@pytest.fixture
async def pacs(tmp_path: Path) -> AsyncIterator[Pacs]:
    index = Index(tmp_path)
    row = InstanceRow("1.2.3.4", "1.2.3", "1.2", "Patient/a", ID, "c", "t", "d", received_at=1.0)
    index.add(StudyRow("1.2", "Patient/a"), SeriesRow("1.2.3", "1.2"), row)
    async with (
        OrthancClient("http://orthanc", "u", "p", transport=Orthanc()) as orthanc,
        Children(1) as children,
    ):
        replacer = Replacer(orthanc, tmp_path / "replace", originals_days=0)
        yield Pacs(
            orthanc=orthanc,
            index=index,
            corrections=Corrections(index, tmp_path),
            children=children,
            replacer=replacer,
            pipeline=Pipeline(index, orthanc, children, replacer),
            restorer=Restorer(index, orthanc, children, replacer),
            data_dir=tmp_path,
            complete_after_s=1.0,
        )
    index.close()


@pytest.fixture
def absences(pacs: Pacs) -> Absences:
    return Absences(None, pacs, None, 1.0)  # type: ignore[arg-type]  # nothing outside is asked here


async def test_an_instance_that_orthanc_lacks_is_gone(absences: Absences) -> None:
    assert await absences._is_gone(ID)


async def test_an_instance_that_is_being_replaced_is_not_gone(absences: Absences, pacs: Pacs) -> None:
    pacs.index.begin_change(["1.2.3.4"])
    assert not await absences._is_gone(ID)
    assert pacs.corrections.stored() == []


@pytest.mark.parametrize("is_over", [False, True])
async def test_an_instance_that_was_replaced_while_it_was_asked_for_is_not_gone(
    absences: Absences, pacs: Pacs, is_over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced() -> None:
        pacs.index.begin_change(["1.2.3.4"])
        if is_over:
            pacs.index.set_outcomes([OutcomeRow("1.2.3.4", "done", "", "1.2.840.10008.1.2.4.202", 1)])

    monkeypatch.setattr(Orthanc, "then", staticmethod(replaced))
    assert not await absences._is_gone(ID)


async def test_nothing_is_withdrawn_when_most_of_everything_is_gone(absences: Absences, pacs: Pacs) -> None:
    row = pacs.index.by_orthanc_id(ID)
    assert row is not None
    for number in range(5):
        study = f"1.{number + 5}"
        sop = f"{study}.1.1"
        one = dataclasses.replace(
            row,
            sop_uid=sop,
            series_uid=f"{study}.1",
            study_uid=study,
            orthanc_id=orthanc_id("1", study, "1", sop),
        )
        pacs.index.add(StudyRow(study, "Patient/a"), SeriesRow(f"{study}.1", study), one)
    await absences.look()
    assert len(pacs.index.studies()) == 6
    assert pacs.corrections.unfinished() == []


async def test_a_correction_that_nobody_finishes_is_told_and_left_alone(
    absences: Absences, pacs: Pacs, caplog: pytest.LogCaptureFixture
) -> None:
    begun = pacs.corrections.begin(
        "assign", "Patient/a", "Patient/b", reason="r", operator="o", at=1.0, study_uids=["1.2"]
    )
    await absences.look()
    (told,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "run the same command again" in told.message
    assert "Patient" not in str(vars(told)), "no log names a patient"
    assert pacs.corrections.unfinished() == [begun]
