"""Images through the public door: nginx, facade, pixels, Orthanc, ingest and the imaging worker, all real."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from imaging import htj2k, pixels
from tests.facade.door import Door, parts, signed_in
from tests.imaging.builders import parsed
from tests.servers.stack import wait_for

pytestmark = pytest.mark.server
HT = "1.2.840.10008.1.2.4.202"


@pytest.fixture(scope="module")
def doctor(door: Door) -> httpx.Client:
    return door.doctor


@pytest.fixture(scope="module")
def study(door: Door) -> tuple[str, list[np.ndarray]]:
    return door.uid, door.images


def frame(study: str, number: int, which: str = "1") -> str:
    return f"/dicom-web/studies/{study}/series/{study}.1/instances/{study}.1.{number}/frames/{which}"


def test_a_frame_is_htj2k_and_holds_every_pixel(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    uid, images = study
    for number, which, values in ((1, "1", images[0]), (2, "1", images[1]), (3, "2", images[2][1])):
        answer = doctor.get(frame(uid, number, which))
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == f"image/jphc; transfer-syntax={HT}"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert np.array_equal(htj2k.decode_second(answer.content), values)


def test_what_the_viewer_asks_for_is_answered(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    uid, images = study
    wanted = "multipart/related; type=application/octet-stream; transfer-syntax=*"
    answer = doctor.get(frame(uid, 1), headers={"Accept": wanted})
    assert answer.headers["content-type"].startswith('multipart/related; type="image/jphc"; boundary=')
    (part,) = parts(answer)
    assert np.array_equal(htj2k.decode(part), images[0])


def test_decoded_frames_are_explicit_little_endian(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    uid, images = study
    answer = doctor.get(frame(uid, 3, "3"), headers={"Accept": "application/octet-stream"})
    assert answer.headers["content-type"] == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    assert answer.content == images[2][2].tobytes()
    answer = doctor.get(
        frame(uid, 3, "3,1"), headers={"Accept": 'multipart/related; type="application/octet-stream"'}
    )
    assert parts(answer) == [images[2][2].tobytes(), images[2][0].tobytes()]


def test_head_ranges_and_conditions_work(doctor: httpx.Client, study: tuple[str, list[np.ndarray]]) -> None:
    uid, _ = study
    whole = doctor.get(frame(uid, 1))
    head = doctor.head(frame(uid, 1))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    part = doctor.get(frame(uid, 1), headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    again = doctor.get(frame(uid, 1), headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


DICOM = 'multipart/related; type="application/dicom"'
LE = "1.2.840.10008.1.2.1"


def test_whole_instances_come_in_their_stored_form_to_who_asks_for_it(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    uid, images = study
    instance = f"/dicom-web/studies/{uid}/series/{uid}.1/instances/{uid}.1.1"
    packed = doctor.get(instance, headers={"Accept": f"{DICOM}; transfer-syntax=*"})
    (data,) = parts(packed)
    assert f"Content-Type: application/dicom; transfer-syntax={HT}\r\n".encode() in packed.content
    bare = doctor.get(instance, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert bare.content == data
    assert np.array_equal(next(pixels.frames(parsed(data)))[0], images[0])
    for path in (f"/dicom-web/studies/{uid}", f"/dicom-web/studies/{uid}/series/{uid}.1"):
        answer = doctor.get(path, headers={"Accept": f"{DICOM}; transfer-syntax=*"})
        assert len(parts(answer)) == 3
        assert data in parts(answer)


def test_whole_instances_are_explicit_little_endian_to_everybody_else(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    uid, images = study
    instance = f"/dicom-web/studies/{uid}/series/{uid}.1/instances/{uid}.1.3"
    bare = doctor.get(instance, headers={"Accept": "application/dicom"})
    assert bare.headers["content-type"] == f"application/dicom; transfer-syntax={LE}"
    assert parsed(bare.content).file_meta.TransferSyntaxUID == LE
    assert np.array_equal(parsed(bare.content).pixel_array, images[2])
    for accept in (DICOM, "*/*"):
        answer = doctor.get(f"/dicom-web/studies/{uid}", headers={"Accept": accept})
        read = {parsed(part).SOPInstanceUID: parsed(part) for part in parts(answer)}
        assert {one.file_meta.TransferSyntaxUID for one in read.values()} == {LE}
        assert np.array_equal(read[f"{uid}.1.1"].pixel_array, images[0])
    again = doctor.get(
        instance, headers={"Accept": "application/dicom", "If-None-Match": bare.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    head = doctor.head(instance, headers={"Accept": "application/dicom"})
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", bare.headers["etag"])


def test_several_ranges_are_answered_with_the_whole_frame(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    """RFC 9110 14.2: a server may ignore Range; what it says must be true."""
    uid, _ = study
    instance = f"/dicom-web/studies/{uid}/series/{uid}.1/instances/{uid}.1.1"
    for path, accept in (
        (frame(uid, 1), "image/jphc"),
        (frame(uid, 1), "application/octet-stream"),
        (instance, "application/dicom; transfer-syntax=*"),
        (instance, "application/dicom"),
    ):
        whole = doctor.get(path, headers={"Accept": accept})
        several = doctor.get(path, headers={"Accept": accept, "Range": "bytes=0-1,5-9"})
        assert (several.status_code, several.content) == (200, whole.content), (path, accept)
        assert "content-range" not in several.headers


def test_the_study_is_found_with_its_korean_name(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    uid, _ = study
    (found,) = doctor.get("/dicom-web/studies", params={"StudyInstanceUID": uid}).json()
    assert found["00100010"]["Value"][0]["Phonetic"] == "시험^환자"
    assert (found["00201206"]["Value"], found["00201208"]["Value"]) == ([1], [3])


def test_the_patient_sees_it_and_a_stranger_does_not(door: Door, study: tuple[str, list[np.ndarray]]) -> None:
    uid, _ = study
    with signed_in(door.base_url, f"patient-{door.mrn}") as browser:
        wait_for(
            lambda: browser.get(f"/dicom-web/studies/{uid}/metadata").status_code == 200,
            "the study to be available",
            timeout_s=60,
        )
        assert browser.get(frame(uid, 1)).status_code == 200
    assert door.stranger.get(frame(uid, 1)).status_code == 404
    with httpx.Client(base_url=door.base_url) as nobody:
        assert nobody.get(frame(uid, 1)).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/internal-orthanc/system",
        "/internal-orthanc/instances",
        "/internal-pixels/health",
        "/dicom-web/../internal-orthanc/system",
        "/dicom-web/%2e%2e/internal-orthanc/system",
        "/dicom-web/studies/..%2f..%2finternal-orthanc%2fsystem",
        "/dicom-web/studies/1.2/series/1.3/instances/..%2f..%2f1.4/frames/1",
        "/dicom-web/studies//series",
        "/dicom-web/system",
        "/instances",
    ],
)
def test_nothing_behind_the_door_is_reached(doctor: httpx.Client, path: str) -> None:
    answer = doctor.get(path)
    assert answer.status_code in (400, 403, 404, 405), answer.text
    assert "Orthanc" not in answer.text
