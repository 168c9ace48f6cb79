import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from imaging.errors import OtherPixelsError, UIDConflictError
from imaging.index import Index, InstanceRow, OutcomeRow, QuarantineRow, SeriesRow, StudyRow, UploadRow

STUDY = StudyRow("1.2", "Patient/a")
SERIES = SeriesRow("1.2.3", "1.2", modality="MR", number=1)
ROW = InstanceRow(
    "1.2.3.4", "1.2.3", "1.2", "Patient/a", "oid-1", "class", "syntax", "px-1", received_at=100.0
)


@pytest.fixture
def index(tmp_path):
    return Index(tmp_path)


def add(index, **change):
    row = replace(ROW, **change)
    series = replace(SERIES, series_uid=row.series_uid, study_uid=row.study_uid)
    return index.add(replace(STUDY, study_uid=row.study_uid, patient_ref=row.patient_ref), series, row)


def test_an_instance_is_taken_in_once(index):
    assert add(index)
    assert not add(index)
    assert index.instances("1.2") == [ROW]


def test_a_row_is_found_only_by_all_of_its_uids(index):
    add(index)
    assert index.instance("1.2", "1.2.3", "1.2.3.4") == ROW
    for uids in [("9", "1.2.3", "1.2.3.4"), ("1.2", "9", "1.2.3.4"), ("1.2", "1.2.3", "9")]:
        assert index.instance(*uids) is None
    assert index.series("9", "1.2.3") == []
    assert index.instances("9", "1.2.3") == []


@pytest.mark.parametrize(
    "change",
    [
        {"patient_ref": "Patient/b"},
        {"patient_ref": "Patient/b", "sop_uid": "9", "orthanc_id": "o9"},
        {"patient_ref": "Patient/b", "sop_uid": "9", "orthanc_id": "o9", "series_uid": "9.9"},
        {"study_uid": "7", "sop_uid": "9", "orthanc_id": "o9"},
        {"study_uid": "7", "series_uid": "7.1"},
        {"series_uid": "1.2.9"},
    ],
)
def test_a_uid_under_another_patient_or_parent_is_refused(index, change):
    add(index)
    with pytest.raises(UIDConflictError):
        add(index, **change)
    assert index.instances("1.2") == [ROW]
    assert index.study("7") is None


def test_other_pixels_under_a_known_uid_are_refused(index):
    add(index)
    with pytest.raises(OtherPixelsError):
        add(index, digest="px-2")


def test_a_study_is_available_only_when_every_outcome_is_recorded(index):
    add(index)
    add(index, sop_uid="1.2.3.5", orthanc_id="oid-2")
    index.set_study("1.2", state="available")
    assert index.study("1.2").state == "receiving"
    done = [OutcomeRow(uid, "done", "", "202", 10) for uid in ("1.2.3.4", "1.2.3.5")]
    index.set_outcomes(done[:1])
    index.set_study("1.2", state="available")
    assert index.study("1.2").state == "receiving"
    index.set_outcomes(done[1:])
    index.set_study("1.2", state="available", imaging_study_id="i1")
    assert (index.study("1.2").state, index.study("1.2").imaging_study_id) == ("available", "i1")
    assert index.pending_studies() == []


def _available(index):
    add(index)
    index.set_outcomes([OutcomeRow("1.2.3.4", "done", "", "202", 10)])
    index.set_study("1.2", state="available")
    assert index.study("1.2").state == "available"


def test_a_late_instance_opens_the_study_again(index):
    _available(index)
    add(index, sop_uid="1.2.3.9", orthanc_id="oid-9", received_at=200.0)
    assert (index.study("1.2").state, index.study("1.2").last_arrival) == ("registered", 200.0)
    assert not index.is_quiet("1.2", 199.0)
    assert index.is_quiet("1.2", 200.0)


def test_what_the_product_wrote_does_not_open_it(index):
    _available(index)
    add(index, sop_uid="1.2.9.9", series_uid="1.2.9", orthanc_id="oid-9", own=True, outcome="not-applicable")
    assert (index.study("1.2").state, index.study("1.2").last_arrival) == ("available", 100.0)


def test_an_instance_in_change_is_marked_until_its_outcome_is_recorded(index):
    add(index)
    index.begin_change(["1.2.3.4"])
    assert index.instance("1.2", "1.2.3", "1.2.3.4").in_change
    index.set_outcomes([OutcomeRow("1.2.3.4", "done", "", "202", 10)])
    assert not index.instance("1.2", "1.2.3", "1.2.3.4").in_change


def test_an_instance_that_is_done_is_not_marked_any_more(index):
    add(index)
    index.set_outcomes([OutcomeRow("1.2.3.4", "done", "", "202", 10)])
    index.begin_change(["1.2.3.4"])
    assert not index.instance("1.2", "1.2.3", "1.2.3.4").in_change


def test_what_is_quarantined_is_found_by_no_reading_function(index):
    row = QuarantineRow("oid-1", "1.2", "1.2.3", "1.2.3.4", "px-1", "unknown-patient", "No patient has this.")
    assert index.quarantine(row)
    assert not index.quarantine(row)
    assert index.is_quarantined("oid-1")
    assert index.quarantined("1.2") == [row]
    assert index.study("1.2") is None
    assert index.instance("1.2", "1.2.3", "1.2.3.4") is None
    assert index.instances("1.2") == index.series("1.2") == index.studies() == []
    index.release("oid-1")
    assert index.quarantined() == []


def test_only_announced_bytes_count_as_the_products_own(index):
    index.announce_own("1.9", "px-9", "key")
    assert index.announced("1.9", "px-9") == (True, "key")
    assert index.announced("1.9", "px-8") == (False, None)
    assert index.announced("1.8", "px-9") == (False, None)


def test_a_series_can_be_withdrawn(index):
    add(index)
    index.set_series_state("1.2.3", "withdrawn")
    assert index.series("1.2")[0].state == "withdrawn"


def test_uploads_and_cursors_are_remembered(index, tmp_path):
    row = UploadRow("oid-1", "1", "px-1", "md5", "Practitioner/1", None, True, "10.0.0.1", "ab", "{}", 1.0)
    index.record_uploads([row])
    index.set_cursor("orthanc", 17)
    again = Index(tmp_path)
    assert again.upload("oid-1") == row
    assert (again.cursor("orthanc"), again.cursor("other")) == (17, 0)


def test_the_facade_cannot_write(index, tmp_path):
    add(index)
    reader = Index(tmp_path, read_only=True)
    assert reader.instances("1.2") == [ROW]
    with pytest.raises(sqlite3.OperationalError):
        reader.set_cursor("x", 1)


def test_threads_do_not_lose_rows(index):
    def many(start):
        for number in range(start, start + 25):
            add(index, sop_uid=f"1.2.3.{number}", orthanc_id=f"o{number}")

    threads = [threading.Thread(target=many, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index.instances("1.2")) == 100


_RACE = """
import sys
from imaging.index import *
index = Index(sys.argv[1])
won = index.add(StudyRow("1.2", "Patient/a"), SeriesRow("1.2.3", "1.2"),
    InstanceRow("1.2.3.4", "1.2.3", "1.2", "Patient/a", "oid-1", "c", "t", "px-1"))
print(int(won))
"""


def test_of_two_processes_one_takes_an_instance_in(tmp_path):
    Index(tmp_path)
    command = [sys.executable, "-c", _RACE, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(process.communicate()[0]) for process in processes) == 1


def test_a_killed_writer_leaves_whole_rows(tmp_path):
    script = """
import sys
from imaging.index import *
index = Index(sys.argv[1])
n = 0
while True:
    n += 1
    index.add(StudyRow("1.2", "Patient/a"), SeriesRow("1.2.3", "1.2"),
        InstanceRow(f"1.2.3.{n}", "1.2.3", "1.2", "Patient/a", f"o{n}", "c", "t", "px-1"))
    print(n, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(20):
        process.stdout.readline()
    process.kill()
    said = int((["20", *process.communicate()[0].split()])[-1])
    assert len(Index(tmp_path).instances("1.2")) >= said
