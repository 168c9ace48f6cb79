"""The DICOM port with dcmtk: a listed modality may ask whether we are there and store, and nothing else."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from imaging.orthanc import OrthancClient
from imaging.read import inspect
from tests.imaging.builders import mr_file
from tests.servers.stack import Stack


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


pytestmark = pytest.mark.server
TITLE = "DIMSE"
BACK = free_port()  # where a move would send to
QUERY = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID={study}")


@pytest.fixture
async def listed(orthanc: Stack) -> OrthancClient:
    """Orthanc with this modality as the product lists one."""
    client = OrthancClient(orthanc.orthanc_url, *orthanc.orthanc_login)
    async with client:
        await client.put_modality("dimse", TITLE, "127.0.0.1", BACK)
    return client


def call(orthanc: Stack, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """One of dcmtk's tools against the DICOM port."""
    where = ["-aet", TITLE, "-aec", "NEURONOVA", "127.0.0.1", str(orthanc.settings.dicom_port)]
    return subprocess.run([program, "-v", *where, *arguments], capture_output=True, check=False, timeout=60)


@pytest.fixture
def stored(orthanc: Stack, listed: OrthancClient, tmp_path: Path) -> bytes:
    """A file that storescu sent."""
    study = f"1.2.{uuid4().int}"[:56]
    data = mr_file(study_uid=study, series_uid=f"{study}.1", PatientID=f"D{uuid4().hex[:8]}")
    (tmp_path / "one.dcm").write_bytes(data)
    assert call(orthanc, "echoscu").returncode == 0
    assert call(orthanc, "storescu", str(tmp_path / "one.dcm")).returncode == 0
    return data


async def test_what_a_listed_modality_stores_is_there(orthanc: Stack, stored: bytes) -> None:
    async with OrthancClient(orthanc.orthanc_url, *orthanc.orthanc_login) as client:
        assert await client.exists(inspect(stored).orthanc_id)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("findscu", ("-S", *QUERY)),
        ("findscu", ("-P", *QUERY)),
        ("movescu", ("-S", "-aem", TITLE, "+P", "{port}", "-od", "{tmp}", *QUERY)),
        ("getscu", ("-S", "-od", "{tmp}", *QUERY)),
    ],
)
def test_nobody_finds_or_fetches_by_dimse(
    orthanc: Stack, stored: bytes, tmp_path: Path, program: str, arguments: tuple[str, ...]
) -> None:
    got = tmp_path / "got"
    got.mkdir()
    done = call(
        orthanc,
        program,
        *(part.format(tmp=got, port=BACK, study=inspect(stored).study_uid) for part in arguments),
    )
    said = done.stdout + done.stderr
    assert b"(Pending)" not in said  # how a find that matches, and a move or get under way, answer
    assert b"(Success)" not in said
    assert list(got.iterdir()) == []
    # The association is refused, or its presentation contexts, or the request: never a success.
    assert any(
        word in said for word in (b"No Acceptable Presentation Contexts", b"Rejected", b"Failed", b"Abort")
    )
