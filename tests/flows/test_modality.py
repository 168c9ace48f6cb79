"""A modality sends by C-STORE: only a registered one may, its patients are its owner's, and it is in the
trail.
"""

import io
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from facade.audit.spool import decode
from imaging.read import inspect
from tests.flows.files import file_of
from tests.flows.pipeline import Clinic
from tests.servers.stack import wait_for

pytestmark = [pytest.mark.server, pytest.mark.timeout(300, func_only=True)]


def test_a_registered_modality_may_store_and_is_in_the_trail(
    clinic: Clinic, single_series: list[Dataset], tmp_path: Path
) -> None:
    title = f"MR{uuid.uuid4().hex[:8].upper()}"
    study = clinic.study(single_series[:2])
    files = []
    for number, data in enumerate(study.files):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(data)
    assert clinic.c_store(title, files) != 0, "a stranger may not store"

    device = clinic.modality(title)
    wait_for(lambda: clinic.c_store(title, files) == 0, "the modality to be accepted")
    clinic.wait_available(study)
    clinic.assert_images_whole(study)
    events = wait_for(lambda: _trail(clinic, study.uid, title), "the store to be in the trail")
    text = json.dumps(events[0])
    assert f"Device/{device['id']}" in text
    assert "127.0.0.1" in text
    assert "Demo" not in text


def test_an_image_without_pixels_is_quarantined(
    clinic: Clinic, single_series: list[Dataset], tmp_path: Path
) -> None:
    title = f"MR{uuid.uuid4().hex[:8].upper()}"
    study = clinic.study(single_series[:1])
    dataset = dcmread(io.BytesIO(study.files[0]))
    del dataset.PixelData
    path = tmp_path / "empty.dcm"
    path.write_bytes(file_of(dataset))
    clinic.modality(title)
    wait_for(lambda: clinic.c_store(title, [path]) == 0, "the modality to be accepted")
    task = clinic.wait_quarantined(study.uid)
    assert [coding["code"] for coding in task["statusReason"]["coding"]] == ["no-pixel-data"]
    assert clinic.imaging_studies(study) == []
    assert clinic.index.study(study.uid) is None


def test_other_pixels_under_known_uids_are_kept_aside_and_reported(
    clinic: Clinic, single_series: list[Dataset], tmp_path: Path
) -> None:
    title = f"MR{uuid.uuid4().hex[:8].upper()}"
    study = clinic.study(single_series[:1])
    same, other = tmp_path / "same.dcm", tmp_path / "other.dcm"
    same.write_bytes(study.files[0])
    dataset = dcmread(same)
    dataset.PixelData = bytes(len(dataset.PixelData))
    other.write_bytes(file_of(dataset))
    device = clinic.modality(title)
    wait_for(lambda: clinic.c_store(title, [same]) == 0, "the modality to be accepted")
    clinic.wait_available(study)
    replace = clinic.stack.var / "replace"
    wait_for(lambda: not list((replace / "again").iterdir()), "what was stored to leave the folder")

    assert clinic.c_store(title, [same, other]) == 0
    digest = inspect(other.read_bytes()).digest
    about = f"{dataset.SOPInstanceUID}-{digest.removeprefix('px-')[:16]}"
    task = clinic.wait_quarantined(about)
    assert [coding["code"] for coding in task["statusReason"]["coding"]] == ["other-pixels"]
    assert "Demo" not in str(task)
    wait_for(lambda: not list((replace / "again").iterdir()), "both files to be looked at")
    (kept,) = (replace / "aside").glob(f"{dataset.SOPInstanceUID}-*.dcm")
    assert inspect(kept.read_bytes()).digest == digest
    assert f"'{kept.name}'" in str(task["input"])
    clinic.assert_images_whole(study)

    def is_recorded() -> bool:
        return any("other-pixels" in str(event) for event in _trail(clinic, study.uid, title))

    wait_for(is_recorded, "the second file to be in the trail")
    assert any(f"Device/{device['id']}" in str(event) for event in _trail(clinic, study.uid, title))


def _trail(clinic: Clinic, study_uid: str, title: str) -> list[dict[str, Any]]:
    """AuditEvents of a study that name the modality: still in the spool, or shipped already."""
    spooled = [
        record["event"]
        for path in (clinic.stack.var / "spool").glob("*.spool")
        for record in map(decode, path.read_bytes().splitlines())
        if record is not None
    ]
    shipped = clinic.search("AuditEvent", type="110104")
    return [event for event in [*spooled, *shipped] if title in str(event) and study_uid in str(event)]
