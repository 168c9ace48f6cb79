"""STOW-RS through the facade, with the real pixels process, Orthanc and HAPI behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from redis.asyncio import Redis

from facade.hapi import HAPIClient
from imaging import names
from imaging.arrival import look, take_in
from imaging.child import Children
from imaging.index import Index
from imaging.orthanc import OrthancClient
from imaging.read import inspect
from tests.facade.world import World, code_of, opened, order
from tests.imaging.builders import bundled, file_bytes, mr_file, multipart, parsed
from tests.servers.stack import Stack
from tests.smart_auth.flow import ORIGIN, log_in

pytestmark = pytest.mark.server
OUTSIDE = "urn:oid:2.25.77"


@dataclass
class Clinic:
    """People, patients and what is needed to look behind the upload."""

    world: World
    hapi: HAPIClient
    orthanc: OrthancClient
    index: Index
    doctor: str
    external: str

    async def patient(self, *, outside: bool = False, shared: bool = False) -> tuple[str, str]:
        """A new patient: its reference, and its number (with the other hospital if `outside`)."""
        number = f"0{uuid4().hex[:10]}"
        stored = await self.hapi.create(
            {
                "resourceType": "Patient",
                "identifier": [
                    {"system": names.MRN, "value": f"M{number}" if outside else number},
                    *([{"system": OUTSIDE, "value": number}] if outside else []),
                ],
                "name": [{"family": "Demo", "given": ["Patient", "One"]}],
                "birthDate": "1970-01-01",
                "gender": "female",
            }
        )
        reference = f"Patient/{stored['id']}"
        if shared:
            await self.hapi.create(
                {
                    "resourceType": "Group",
                    "type": "person",
                    "actual": True,
                    "active": True,
                    "managingEntity": {"reference": self.external},
                    "member": [{"entity": {"reference": reference}}],
                }
            )
        return reference, number

    async def send(
        self, who: str | None, *files: bytes, study: str | None = None, **headers: str
    ) -> httpx.Response:
        """One upload."""
        body, content_type = multipart(*files)
        sent = {**(self.world.tokens[who] if who else {}), "Content-Type": content_type, **headers}
        path = "/dicom-web/studies" + (f"/{study}" if study else "")
        async with self.world.browser() as browser:
            return await browser.post(path, content=body, headers=sent)

    def left(self) -> list[str]:
        """What lies in the spool of uploads."""
        return sorted(path.name for path in self.world.services.settings.stow_dir.iterdir())


@pytest.fixture(scope="module")
async def uploads(
    servers: Stack,
    redis: Redis,
    keys_dir: Path,
    people: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Clinic]:
    stack = servers.need("hapi", "redis", "orthanc", "pixels")
    # A running ingest would take in what these tests take in themselves, step by step.
    is_running = stack.supervisor.states()["ingest"].is_running
    if is_running:
        stack.stop("ingest")
    async with (
        HAPIClient(stack.hapi_url, stack.secrets["hapi-facade"]) as hapi,
        OrthancClient(stack.orthanc_url, *stack.orthanc_login) as orthanc,
        opened(
            tmp_path_factory.mktemp("uploads"),
            redis,
            hapi_url=stack.hapi_url,
            hapi_secret=stack.secrets["hapi-facade"],
            keys_dir=keys_dir,
            pixels_socket=stack.var / "run" / "pixels.sock",
            stow_dir=stack.var / "stow",
            data_dir=stack.var / "dicom",
            stow_max_bytes=200_000,
        ) as world,
    ):
        organization = await hapi.create(
            {
                "resourceType": "Organization",
                "name": "Demo Sending Hospital",
                "identifier": [{"system": names.PATIENT_IDENTIFIER_SYSTEM, "value": OUTSIDE}],
            }
        )
        await world.sign_in("doctor", "doctor", fhir_user=people["doctor"])
        await world.sign_in("nurse", "nurse", fhir_user=people["nurse"])
        await world.sign_in("patient", "patient", fhir_user=people["own"])
        await world.sign_in("external", "external", organization=organization["id"])
        index = Index(stack.var / "dicom")
        yield Clinic(world, hapi, orthanc, index, people["doctor"], f"Organization/{organization['id']}")
        index.close()
    if is_running:
        stack.start("ingest")


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    async with Children(1) as made:
        yield made


def slices(number: str, count: int = 2, **tags: Any) -> tuple[str, list[bytes]]:
    study = f"1.2.{uuid4().int}"[:56]
    return study, [
        mr_file(study_uid=study, series_uid=f"{study}.1", number=n, PatientID=number, **tags)
        for n in range(1, count + 1)
    ]


def failures(answer: httpx.Response) -> list[int]:
    body = answer.json()
    items = [*body.get("00081198", {}).get("Value", []), *body.get("0008119A", {}).get("Value", [])]
    return [item["00081197"]["Value"][0] for item in items]


def stored(answer: httpx.Response) -> list[str]:
    return [item["00081155"]["Value"][0] for item in answer.json().get("00081199", {}).get("Value", [])]


async def is_in_orthanc(uploads: Clinic, data: bytes) -> bool:
    return await uploads.orthanc.exists(inspect(data).orthanc_id)


async def test_a_study_goes_in_and_who_sent_it_is_on_record(uploads: Clinic) -> None:
    reference, number = await uploads.patient()
    study, files = slices(number)
    before = len(uploads.world.trail())
    answer = await uploads.send("doctor", *files)
    assert answer.status_code == 200, answer.text
    assert stored(answer) == [f"{study}.1.1", f"{study}.1.2"]
    assert answer.json()["00081190"]["Value"] == [f"{ORIGIN}/dicom-web/studies/{study}"]
    for data in files:
        found = inspect(data)
        assert await uploads.orthanc.file(found.orthanc_id) == data
        row = uploads.index.upload(found.orthanc_id)
        assert row is not None
        assert (row.uploader, row.staff, row.organization) == (uploads.doctor, True, None)
    (event,) = [record["event"] for record in uploads.world.trail()[before:]]
    whats = [entity["what"] for entity in event["entity"]]
    assert event["outcome"] == "0"
    assert {"reference": reference} in whats
    assert {"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}} in whats
    assert uploads.left() == []


async def test_the_same_pixels_again_are_accepted_and_others_are_refused(
    uploads: Clinic, children: Children
) -> None:
    reference, number = await uploads.patient()
    study, files = slices(number)
    other = mr_file(
        np.ones((16, 12), "<i2"), study_uid=study, series_uid=f"{study}.1", number=1, PatientID=number
    )
    assert (await uploads.send("doctor", *files)).status_code == 200
    for is_indexed in (False, True):  # before and after ingest has taken them in
        if is_indexed:
            for data in files:
                arrival = await look(uploads.index, uploads.orthanc, children, inspect(data).orthanc_id)
                assert arrival is not None
                take_in(uploads.index, uploads.world.services.settings.data_dir, arrival, reference)
        assert (await uploads.send("doctor", *files)).status_code == 200
        answer = await uploads.send("doctor", files[1], other)
        assert (answer.status_code, failures(answer)) == (202, [0x0111])
        assert stored(answer) == [f"{study}.1.2"]
        assert await uploads.orthanc.file(inspect(files[0]).orthanc_id) == files[0]


async def test_a_uid_of_another_patient_is_refused(uploads: Clinic, children: Children) -> None:
    reference, number = await uploads.patient()
    study, files = slices(number, 1)
    await uploads.send("doctor", *files)
    arrival = await look(uploads.index, uploads.orthanc, children, inspect(files[0]).orthanc_id)
    assert arrival is not None
    take_in(uploads.index, uploads.world.services.settings.data_dir, arrival, reference)
    _, second = await uploads.patient()
    stolen = mr_file(study_uid=study, series_uid=f"{study}.1", number=1, PatientID=second)
    moved = mr_file(study_uid=f"{study}.5", series_uid=f"{study}.1", number=7, PatientID=number)
    for data in (stolen, moved):
        answer = await uploads.send("doctor", data)
        assert (answer.status_code, failures(answer)) == (409, [0x0110])
        assert not await is_in_orthanc(uploads, data)


@pytest.mark.filterwarnings("ignore")
async def test_each_bad_part_is_named_and_the_good_one_goes_in(uploads: Clinic) -> None:
    _, number = await uploads.patient()
    study, (good,) = slices(number, 1)
    image = mr_file(study_uid=study, series_uid=f"{study}.1", number=8, PatientID=number, PixelData=None)
    answer = await uploads.send("doctor", b"not dicom", good[:-40], good, image)
    assert answer.status_code == 202
    assert stored(answer) == [f"{study}.1.1"]
    assert sorted(failures(answer)) == [0xA900, 0xC000, 0xC000]
    answer = await uploads.send("doctor", b"not dicom")
    assert (answer.status_code, failures(answer)) == (409, [0xC000])


@pytest.mark.parametrize(
    "change",
    [
        {"PatientID": "nobody"},
        {"PatientID": ""},
        {"PatientBirthDate": "19700102"},
        {"PatientSex": "M"},
        {"PatientName": "Demo^Other"},
        {"IssuerOfPatientID": "SOMEBODY"},
    ],
)
async def test_what_matches_nobody_is_held_for_staff_and_refused_from_outside(
    uploads: Clinic, change: dict[str, str]
) -> None:
    _, number = await uploads.patient(outside=True, shared=True)
    for who, status in (("doctor", 202), ("external", 409)):
        study = f"1.2.{uuid4().int}"[:56]
        tags = {"PatientID": f"M{number}" if who == "doctor" else number, **change}
        data = mr_file(study_uid=study, series_uid=f"{study}.1", **tags)
        answer = await uploads.send(who, data)
        assert answer.status_code == status, (who, answer.text)
        assert await is_in_orthanc(uploads, data) == (who == "doctor")
        if who == "doctor":
            assert answer.headers["warning"].startswith("299")
            (item,) = answer.json()["00081199"]["Value"]
            assert item["00081196"]["Value"] == [0xB000]
        else:
            assert failures(answer) == [0x0124]


async def test_an_outside_hospital_sends_for_its_shared_patients_only(uploads: Clinic) -> None:
    _, shared = await uploads.patient(outside=True, shared=True)
    _, foreign = await uploads.patient(outside=True)
    _, ours = await uploads.patient()
    assert (await uploads.send("external", *slices(shared)[1])).status_code == 200
    for number in (foreign, ours, "unknown"):
        _, files = slices(number, 1)
        answer = await uploads.send("external", *files)
        assert (answer.status_code, failures(answer)) == (409, [0x0124])
        assert not await is_in_orthanc(uploads, files[0])


async def test_an_order_of_another_patient_contradicts(uploads: Clinic) -> None:
    first, _ = await uploads.patient()
    _, second = await uploads.patient()
    accession = f"A{uuid4().hex[:12]}"
    await uploads.hapi.create(
        order(first, uploads.doctor, identifier=[{"system": names.ACCESSION, "value": accession}])
    )
    _, files = slices(second, 1, AccessionNumber=accession)
    answer = await uploads.send("doctor", *files)
    assert (answer.status_code, "warning" in answer.headers) == (202, True)


async def test_a_study_in_the_address_takes_its_own_instances_only(uploads: Clinic) -> None:
    _, number = await uploads.patient()
    study, files = slices(number, 1)
    _, others = slices(number, 1)
    answer = await uploads.send("doctor", *files, *others, study=study)
    assert (answer.status_code, failures(answer)) == (202, [0xC409])
    assert not await is_in_orthanc(uploads, others[0])


@pytest.mark.parametrize(("who", "status"), [(None, 401), ("nurse", 403), ("patient", 403)])
async def test_who_may_not_upload_is_refused(uploads: Clinic, who: str | None, status: int) -> None:
    _, files = slices("x", 1)
    assert (await uploads.send(who, *files)).status_code == status
    assert not await is_in_orthanc(uploads, files[0])
    assert uploads.left() == []


async def test_a_body_over_the_limit_is_refused_with_and_without_its_length(uploads: Clinic) -> None:
    body, content_type = multipart(b"x" * 300_000)
    headers = {**uploads.world.tokens["doctor"], "Content-Type": content_type}

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    async with uploads.world.browser() as browser:
        for content in (body, chunks()):
            answer = await browser.post("/dicom-web/studies", content=content, headers=headers)
            assert (answer.status_code, code_of(answer)) == (413, "ERR_104")
            assert uploads.left() == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/dicom", b"x", 415),
        ("multipart/form-data; boundary=x", b"x", 415),
        ('multipart/related; type="application/dicom+json"; boundary=limit', b"x", 415),
        ("multipart/related; boundary=limit", b"no boundary", 400),
        ("multipart/related; boundary=limit", b"--limit\r\n\r\nends early", 400),
        ("multipart/related", b"--limit\r\n\r\nx\r\n--limit--", 400),
        ("multipart/related; boundary=limit", b"", 400),
        ("multipart/related; boundary=limit", b"--limit--", 400),
    ],
)
async def test_what_is_no_upload_is_refused(
    uploads: Clinic, content_type: str, body: bytes, status: int
) -> None:
    headers = {**uploads.world.tokens["doctor"], "Content-Type": content_type}
    async with uploads.world.browser() as browser:
        answer = await browser.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert uploads.left() == []


async def test_the_viewers_cookie_needs_our_origin_and_the_csrf_value(uploads: Clinic) -> None:
    _, number = await uploads.patient()
    _, files = slices(number, 1)
    body, content_type = multipart(*files)
    async with uploads.world.browser() as browser:
        await log_in(browser, "doctor")
        csrf = (await browser.get("/auth/me")).json()["csrf"]
        good = {"Content-Type": content_type, "Origin": ORIGIN, "X-CSRF-Token": csrf}
        for bad in (
            {"Origin": "http://elsewhere"},
            {"Origin": ""},
            {"X-CSRF-Token": "x"},
            {"X-CSRF-Token": ""},
        ):
            answer = await browser.post("/dicom-web/studies", content=body, headers=good | bad)
            assert answer.status_code == 403, bad
        assert not await is_in_orthanc(uploads, files[0])
        answer = await browser.post("/dicom-web/studies", content=body, headers=good)
        assert answer.status_code == 200, answer.text


@pytest.mark.filterwarnings("ignore")
async def test_a_document_without_pixels_is_taken(uploads: Clinic) -> None:
    _, number = await uploads.patient()
    dataset = parsed(bundled("reportsi.dcm"))
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = number, "", "", ""
    dataset.AccessionNumber = ""
    dataset.StudyInstanceUID = f"1.2.{uuid4().int}"[:56]
    answer = await uploads.send("doctor", file_bytes(dataset))
    assert answer.status_code == 200, answer.text


@pytest.mark.filterwarnings("ignore")
async def test_a_document_that_ends_early_is_refused(uploads: Clinic) -> None:
    whole = bundled("reportsi.dcm")
    answer = await uploads.send("doctor", whole[:-40])
    assert (answer.status_code, failures(answer)) == (409, [0xC000])
    assert uploads.left() == []


async def test_a_pixels_process_that_is_down_is_503_and_nothing_stays(
    redis: Redis, uploads: Clinic, people: dict[str, str], keys_dir: Path, tmp_path: Path, hapi: Any
) -> None:
    async with opened(
        tmp_path, redis, hapi_url=hapi.hapi_url, hapi_secret=hapi.secrets["hapi-facade"], keys_dir=keys_dir
    ) as world:
        await world.sign_in("doctor", "doctor", fhir_user=people["doctor"])
        alone = Clinic(world, uploads.hapi, uploads.orthanc, uploads.index, "", "")
        answer = await alone.send("doctor", *slices("x", 1)[1])
        assert (answer.status_code, code_of(answer)) == (503, "ERR_501")
        assert alone.left() == []
        assert world.trail()[-1]["event"]["outcome"] == "8"
