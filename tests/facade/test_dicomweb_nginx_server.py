"""Images through the public door: nginx, facade, pixels, Orthanc, ingest and the imaging worker, all real."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import numpy as np
import pytest

from facade.hapi import HAPIClient
from imaging import htj2k, names, pixels
from smart_auth import users
from smart_auth.database import Database
from tests.imaging.builders import mr_file, multipart, parsed
from tests.servers.stack import Stack, wait_for
from tests.smart_auth.flow import PASSWORD, csrf_of

pytestmark = pytest.mark.server
PROGRAMS = ("nginx", "facade", "hapi", "redis", "orthanc", "pixels", "receiver", "ingest", "worker-imaging")
HT = "1.2.840.10008.1.2.4.202"


@pytest.fixture(scope="module")
def door(servers: Stack) -> Stack:
    return servers.need(*PROGRAMS)


@pytest.fixture(scope="module")
async def people_here(door: Stack) -> AsyncIterator[dict[str, str]]:
    """A doctor and a patient with logins, and the hospital that numbers them."""
    async with HAPIClient(door.hapi_url, door.secrets["hapi-facade"]) as hapi:
        number = f"0{uuid4().hex[:10]}"
        doctor = await hapi.create({"resourceType": "Practitioner", "name": [{"text": "Demo Doctor"}]})
        patient = await hapi.create(
            {
                "resourceType": "Patient",
                "identifier": [{"system": names.MRN, "value": number}],
                "name": [
                    {"family": "시험", "given": ["환자"]},
                    {"family": "Demo", "given": ["Patient", "One"]},
                ],
                "birthDate": "1970-01-01",
                "gender": "female",
            }
        )
        found = {
            "doctor": f"Practitioner/{doctor['id']}",
            "patient": f"Patient/{patient['id']}",
            "mrn": number,
        }
        database = Database(door.variables("facade")["SMART_AUTH_DATABASE_URL"])
        for role in ("doctor", "patient"):
            name = f"{role}-{number}"
            invited = users.create(database, name, role, fhir_user=found[role])
            users.accept(database, invited.code, PASSWORD, length=12)
        database.close()
        yield found


@pytest.fixture(scope="module")
def doctor(door: Stack, people_here: dict[str, str]) -> Iterator[httpx.Client]:
    with signed_in(door, f"doctor-{people_here['mrn']}") as browser:
        yield browser


@contextmanager
def signed_in(door: Stack, name: str) -> Iterator[httpx.Client]:
    """A browser with the viewer's cookie."""
    with httpx.Client(base_url=door.base_url, timeout=60) as browser:

        def csrf() -> str:
            # The facade learns of a login that was made elsewhere within half a second.
            page = browser.get("/auth/login")
            if page.status_code == 200 and 'name="csrf"' in page.text:
                form = {"csrf": csrf_of(page), "username": name, "password": PASSWORD}
                browser.post("/auth/login", data=form, headers={"Origin": door.base_url})
            return str(browser.get("/auth/me").json().get("csrf", ""))

        value = wait_for(csrf, "the login to be known")
        browser.headers.update({"Origin": door.base_url, "X-CSRF-Token": value})
        yield browser


@pytest.fixture(scope="module")
def study(door: Stack, doctor: httpx.Client, people_here: dict[str, str]) -> tuple[str, list[np.ndarray]]:
    """A study of two slices and one of three frames, sent by the doctor and available."""
    uid = f"1.2.{uuid4().int}"[:56]
    random = np.random.default_rng(5)
    images = [random.integers(0, 4096, shape).astype("<u2") for shape in [(65, 43), (65, 43), (3, 33, 21)]]
    files = [
        mr_file(
            values,
            bits_stored=12,
            study_uid=uid,
            series_uid=f"{uid}.1",
            number=number,
            PatientID=people_here["mrn"],
            PatientName="Demo^Patient One==시험^환자",
        )
        for number, values in enumerate(images, start=1)
    ]
    body, content_type = multipart(*files)
    answer = doctor.post("/dicom-web/studies", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 200, answer.text

    def is_available() -> bool:
        found = doctor.get(f"/dicom-web/studies/{uid}/metadata")
        syntaxes = [one["00083002"]["Value"][0] for one in found.json()] if found.status_code == 200 else []
        return syntaxes == [HT] * 3

    wait_for(is_available, "the study to be converted", timeout_s=60)
    return uid, images


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


def parts(answer: httpx.Response) -> list[bytes]:
    mark = re.search(r"boundary=([0-9a-f]+)", answer.headers["content-type"])
    assert mark
    pieces = answer.content.split(b"--" + mark[1].encode())
    return [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:-1]]


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


def test_whole_instances_come_in_their_stored_form(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    uid, images = study
    instance = f"/dicom-web/studies/{uid}/series/{uid}.1/instances/{uid}.1.1"
    packed = doctor.get(instance, headers={"Accept": 'multipart/related; type="application/dicom"'})
    (data,) = parts(packed)
    bare = doctor.get(instance, headers={"Accept": "application/dicom"})
    assert bare.content == data
    assert np.array_equal(next(pixels.frames(parsed(data)))[0], images[0])
    for path in (f"/dicom-web/studies/{uid}", f"/dicom-web/studies/{uid}/series/{uid}.1"):
        answer = doctor.get(path, headers={"Accept": 'multipart/related; type="application/dicom"'})
        assert len(parts(answer)) == 3
        assert data in parts(answer)


def test_the_study_is_found_with_its_korean_name(
    doctor: httpx.Client, study: tuple[str, list[np.ndarray]]
) -> None:
    uid, _ = study
    (found,) = doctor.get("/dicom-web/studies", params={"StudyInstanceUID": uid}).json()
    assert found["00100010"]["Value"][0]["Phonetic"] == "시험^환자"
    assert (found["00201206"]["Value"], found["00201208"]["Value"]) == ([1], [3])


def test_the_patient_sees_it_and_a_stranger_does_not(
    door: Stack, people_here: dict[str, str], study: tuple[str, list[np.ndarray]]
) -> None:
    uid, _ = study

    with signed_in(door, f"patient-{people_here['mrn']}") as browser:
        wait_for(
            lambda: browser.get(f"/dicom-web/studies/{uid}/metadata").status_code == 200,
            "the study to be available",
            timeout_s=60,
        )
        assert browser.get(frame(uid, 1)).status_code == 200
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
        "/dicom-web/instances",
        "/dicom-web/system",
        "/instances",
    ],
)
def test_nothing_behind_the_door_is_reached(doctor: httpx.Client, path: str) -> None:
    answer = doctor.get(path)
    assert answer.status_code in (400, 403, 404, 405), answer.text
    assert "Orthanc" not in answer.text
