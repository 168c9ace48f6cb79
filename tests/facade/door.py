"""A study behind the public door, with a doctor who sees it: nginx, facade, pixels, Orthanc, the workers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx
import numpy as np
from pydicom import Dataset

from facade.hapi import HAPIClient
from imaging import names
from smart_auth import users
from smart_auth.database import Database
from tests.imaging.builders import mr_file, multipart
from tests.servers.stack import Stack, wait_for
from tests.smart_auth.flow import PASSWORD, csrf_of

PROGRAMS = ("nginx", "facade", "hapi", "redis", "orthanc", "pixels", "receiver", "ingest", "worker-imaging")
LARGE = bytes(range(256)) * 400  # over what metadata hold; the second slice has it twice
HT = "1.2.840.10008.1.2.4.202"


@dataclass(frozen=True)
class Door:
    """One study (two slices and an instance of three frames), and browsers of those who ask for it.

    `stranger` is a patient whose study it is not.
    """

    base_url: str
    doctor: httpx.Client
    stranger: httpx.Client
    uid: str
    images: list[np.ndarray]
    patient: str
    mrn: str


@asynccontextmanager
async def opened(stack: Stack, hapi: HAPIClient) -> AsyncIterator[Door]:
    """The people, and the study as the doctor sends it; ready when every instance is converted."""
    number = f"0{uuid4().hex[:10]}"
    doctor = await hapi.create({"resourceType": "Practitioner", "name": [{"text": "Demo Doctor"}]})
    own, other = [
        await hapi.create(
            {
                "resourceType": "Patient",
                "identifier": [{"system": names.MRN, "value": mrn}],
                "name": [
                    {"family": "시험", "given": ["환자"]},
                    {"family": "Demo", "given": ["Patient", "One"]},
                ],
                "birthDate": "1970-01-01",
                "gender": "female",
            }
        )
        for mrn in (number, f"{number}9")
    ]
    database = Database(stack.variables("facade")["SMART_AUTH_DATABASE_URL"])
    for name, role, reference in (
        (f"doctor-{number}", "doctor", f"Practitioner/{doctor['id']}"),
        (f"patient-{number}", "patient", f"Patient/{own['id']}"),
        (f"stranger-{number}", "patient", f"Patient/{other['id']}"),
    ):
        users.accept(
            database, users.create(database, name, role, fhir_user=reference).code, PASSWORD, length=12
        )
    database.close()
    with (
        signed_in(stack.base_url, f"doctor-{number}") as browser,
        signed_in(stack.base_url, f"stranger-{number}") as stranger,
    ):
        uid, images = _sent(browser, number)
        yield Door(stack.base_url, browser, stranger, uid, images, f"Patient/{own['id']}", number)


def _within(value: bytes) -> Dataset:
    item = Dataset()
    item.ICCProfile = value
    return item


def _sent(doctor: httpx.Client, number: str) -> tuple[str, list[np.ndarray]]:
    uid = f"1.2.{uuid4().int}"[:56]
    random = np.random.default_rng(5)
    images = [random.integers(0, 4096, shape).astype("<u2") for shape in [(65, 43), (65, 43), (3, 33, 21)]]
    files = [
        mr_file(
            values,
            bits_stored=12,
            study_uid=uid,
            series_uid=f"{uid}.1",
            number=position,
            PatientID=number,
            PatientName="Demo^Patient One==시험^환자",
            **({"ICCProfile": LARGE, "OpticalPathSequence": [_within(LARGE[::-1])]} if position == 2 else {}),
        )
        for position, values in enumerate(images, start=1)
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


@contextmanager
def signed_in(base_url: str, name: str) -> Iterator[httpx.Client]:
    """A browser with the viewer's cookie."""
    with httpx.Client(base_url=base_url, timeout=60) as browser:

        def csrf() -> str:
            # The facade learns of a login that was made elsewhere within half a second.
            page = browser.get("/auth/login")
            if page.status_code == 200 and 'name="csrf"' in page.text:
                form = {"csrf": csrf_of(page), "username": name, "password": PASSWORD}
                browser.post("/auth/login", data=form, headers={"Origin": base_url})
            return str(browser.get("/auth/me").json().get("csrf", ""))

        value = wait_for(csrf, "the login to be known")
        browser.headers.update({"Origin": base_url, "X-CSRF-Token": value})
        yield browser


def parts(answer: httpx.Response) -> list[bytes]:
    mark = re.search(r"boundary=([0-9a-f]+)", answer.headers["content-type"])
    assert mark
    pieces = answer.content.split(b"--" + mark[1].encode())
    return [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:-1]]
