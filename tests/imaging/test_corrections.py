"""The journal of corrections: who may touch a study meanwhile, and what moves with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imaging.corrections import Correction, Corrections
from imaging.errors import CorrectionBusyError, MergedPatientError, UIDConflictError
from imaging.index import Index, InstanceRow, SeriesRow, StudyRow

A, B = "Patient/a", "Patient/b"


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


@pytest.fixture
def corrections(index: Index, tmp_path: Path) -> Corrections:
    return Corrections(index, tmp_path)


def store(index: Index, study: str, patient: str = A, *, own: bool = False, number: int = 1) -> None:
    series = f"{study}.{'9' if own else '1'}"
    index.add(
        StudyRow(study, patient, based_on="ServiceRequest/s"),
        SeriesRow(series, study, own=own),
        InstanceRow(
            f"{series}.{number}", series, study, patient, f"o-{series}.{number}", "c", "t", "d", own=own,
            outcome="not-applicable",
        ),
    )  # fmt: skip


def begin(corrections: Corrections, kind: str, *studies: str) -> Correction:
    return corrections.begin(kind, A, B, reason="r", operator="o", at=1.0, study_uids=studies)  # type: ignore[arg-type]


def test_an_assigned_study_moves_with_all_its_instances_and_loses_order_and_segmentation(
    index: Index, corrections: Corrections
) -> None:
    for study in ("1.2", "1.3"):
        store(index, study)
        store(index, study, own=True)
        index.set_study(study, state="available")
    corrections.move(begin(corrections, "assign", "1.2"))
    moved = index.study("1.2")
    assert moved is not None
    assert (moved.patient_ref, moved.based_on, moved.state) == (B, None, "registered")
    assert {row.patient_ref for row in index.instances("1.2")} == {B}
    assert {row.series_uid: row.state for row in index.series("1.2")} == {
        "1.2.1": "shown",
        "1.2.9": "withdrawn",
    }
    other = index.study("1.3")
    assert other is not None
    assert (other.patient_ref, other.state) == (A, "available")
    assert {row.state for row in index.series("1.3")} == {"shown"}


def test_moving_twice_changes_nothing_of_what_came_after(index: Index, corrections: Corrections) -> None:
    store(index, "1.2")
    correction = begin(corrections, "assign", "1.2")
    corrections.move(correction)
    index.set_study("1.2", based_on="ServiceRequest/new")
    index.add(StudyRow("1.2", B), SeriesRow("1.2.9", "1.2", own=True),
              InstanceRow("1.2.9.1", "1.2.9", "1.2", B, "o", "c", "t", "d", own=True))  # fmt: skip
    corrections.move(correction)
    row = index.study("1.2")
    assert row is not None
    assert row.based_on == "ServiceRequest/new"
    assert {one.state for one in index.series("1.2")} == {"shown"}


def test_a_merge_takes_every_study_along_also_one_that_came_meanwhile(
    index: Index, corrections: Corrections
) -> None:
    store(index, "1.2")
    store(index, "1.9", "Patient/c")
    correction = begin(corrections, "merge", "1.2")
    with pytest.raises(MergedPatientError):
        store(index, "1.3")
    assert index.study("1.3") is None
    corrections.move(correction)
    assert corrections.studies(correction) == ["1.2"]
    other = index.study("1.9")
    assert other is not None
    assert other.patient_ref == "Patient/c"
    corrections.finish(correction)
    with pytest.raises(UIDConflictError):
        store(index, "1.4")


def test_a_study_is_under_way_from_the_beginning_to_the_end(index: Index, corrections: Corrections) -> None:
    store(index, "1.2")
    store(index, "1.3")
    correction = begin(corrections, "assign", "1.2")
    assert corrections.is_under_way("1.2")
    assert not corrections.is_under_way("1.3")
    assert corrections.unfinished() == [correction]
    corrections.move(correction)
    corrections.finish(correction)
    assert not corrections.is_under_way("1.2")
    assert corrections.unfinished() == []
    assert corrections.latest("1.2") == correction.id
    assert corrections.latest("1.3") is None


def test_every_study_of_a_patient_who_is_being_merged_is_under_way(
    index: Index, corrections: Corrections
) -> None:
    store(index, "1.2")
    begin(corrections, "merge")
    assert corrections.is_under_way("1.2")


def test_a_cancelled_correction_leaves_nothing(index: Index, corrections: Corrections) -> None:
    store(index, "1.2")
    corrections.cancel(begin(corrections, "merge", "1.2"))
    assert not corrections.is_under_way("1.2")
    assert corrections.latest("1.2") is None
    store(index, "1.3")


def test_a_study_that_went_to_another_patient_is_not_published_for_the_one_before(
    index: Index, corrections: Corrections
) -> None:
    store(index, "1.2")
    corrections.move(begin(corrections, "assign", "1.2"))
    index.set_study("1.2", state="registered")
    index.set_study("1.2", state="available", patient_ref=A)
    row = index.study("1.2")
    assert row is not None
    assert row.state == "registered"


def test_one_process_corrects_at_a_time_and_a_killed_one_lets_go(
    corrections: Corrections, tmp_path: Path
) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from imaging.index import Index;"
        "from imaging.corrections import Corrections; d = Path(sys.argv[1])\n"
        "with Corrections(Index(d), d).one_at_a_time(): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CorrectionBusyError):
            with corrections.one_at_a_time():
                pass
        other.kill()
    with corrections.one_at_a_time():
        pass
