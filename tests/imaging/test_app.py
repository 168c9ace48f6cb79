"""The pixels process over HTTP, with a real Orthanc and real children behind it."""

from contextlib import asynccontextmanager
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr
from pydicom.encaps import encapsulate

from imaging import pixels
from imaging.app import create
from imaging.arrival import look, take_in
from imaging.display import Display
from imaging.index import Index
from imaging.settings import ImagingSettings
from imaging.stow import forget_stale
from tests.imaging.builders import bundled, file_bytes, mr, mr_file, multipart, parsed, transcoded

pytestmark = pytest.mark.server
HT = "1.2.840.10008.1.2.4.202"
RLE = "1.2.840.10008.1.2.5"
NAME = "0" * 32 + ".stow"
ABOUT = {
    "uploader": "Practitioner/1",
    "organization": None,
    "staff": True,
    "address": "127.0.0.1",
    "request_id": "ab",
}


@asynccontextmanager
async def running(orthanc, tmp_path):
    user, password = orthanc.orthanc_login
    settings = ImagingSettings(
        orthanc_url=orthanc.orthanc_url,
        orthanc_user=user,
        orthanc_password=SecretStr(password),
        data_dir=tmp_path / "data",
        replace_dir=tmp_path / "replace",
        stow_dir=tmp_path / "stow",
    )
    app = create(settings)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope, receive, send):
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://pixels") as http:
            yield http


async def inspected(http, tmp_path, *files, content_type=None):
    body, kind = multipart(*files)
    (tmp_path / "stow" / NAME).write_bytes(body)
    answer = await http.post("/stow/inspect", json={"name": NAME, "content_type": content_type or kind})
    assert answer.status_code == 200, answer.text
    return answer.json()["parts"]


@pytest.mark.filterwarnings("ignore")
async def test_each_part_is_read_or_refused_for_its_own_reason(orthanc, tmp_path):
    good = mr_file(study_uid="1.2.5.1", series_uid="1.2.5.1.1")
    short = mr_file(np.zeros((9, 9), "<u2"), Rows=12)
    async with running(orthanc, tmp_path) as http:
        parts = await inspected(
            http,
            tmp_path,
            good,
            b"not dicom",
            good[:-50],
            mr_file(PixelData=None),
            short,
            bundled("reportsi.dcm"),
        )
    assert [part["failure"] for part in parts] == [None, 0xC000, 0xC000, 0xA900, 0xC000, None]
    assert parts[0]["inspection"]["tags"]["patient_id"] == "0001"
    assert "metadata" not in parts[0]["inspection"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "x.stow", NAME, "0" * 32])
async def test_only_spooled_uploads_are_read(orthanc, tmp_path, name):
    async with running(orthanc, tmp_path) as http:
        answer = await http.post("/stow/inspect", json={"name": name, "content_type": multipart(b"")[1]})
    assert answer.status_code == 400


async def test_a_body_that_is_not_whole_multipart_is_refused(orthanc, tmp_path):
    async with running(orthanc, tmp_path) as http:
        body, kind = multipart(mr_file())
        (tmp_path / "stow" / NAME).write_bytes(body[:-9])
        answer = await http.post("/stow/inspect", json={"name": NAME, "content_type": kind})
    assert answer.status_code == 400


async def test_parts_are_stored_once_and_their_sender_is_known(orthanc, client, children, tmp_path):
    files = [mr_file(study_uid="1.2.5.2", series_uid="1.2.5.2.1", number=n) for n in (1, 2)]
    other = mr_file(np.ones((16, 12), "<i2"), study_uid="1.2.5.2", series_uid="1.2.5.2.1", number=1)
    async with running(orthanc, tmp_path) as http:

        async def send(*sent):
            parts = await inspected(http, tmp_path, *sent)
            body = {"name": NAME, "parts": [{"start": p["start"], "length": p["length"]} for p in parts]}
            return (await http.post("/stow/store", json=body | ABOUT)).json()["parts"], parts

        first, parts = await send(*files)
        assert [part["status"] for part in first] == ["stored", "stored"]
        again, _ = await send(*files)
        assert [part["status"] for part in again] == ["duplicate", "duplicate"]
        refused, _ = await send(other)
        assert (refused[0]["status"], refused[0]["failure"]) == ("failed", 0x0111)
    oid = parts[0]["inspection"]["orthanc_id"]
    assert await client.file(oid) == files[0]
    index = Index(tmp_path / "data")
    arrival = await look(index, client, children, oid)
    assert (arrival.source, arrival.upload.request_id) == ("Practitioner/1", "ab")
    assert arrival.inspection.digest == pixels.digest(parsed(files[0]))
    assert arrival.inspection.metadata["00200013"]["Value"] == [1]


async def test_an_upload_row_of_other_bytes_is_not_believed(orthanc, client, children, tmp_path):
    data = mr_file(study_uid="1.2.5.3", series_uid="1.2.5.3.1")
    async with running(orthanc, tmp_path) as http:
        parts = await inspected(http, tmp_path, data)
        stored = await client.store(
            mr_file(np.ones((16, 12), "<i2"), study_uid="1.2.5.3", series_uid="1.2.5.3.1")
        )
        body = {"name": NAME, "parts": [{"start": parts[0]["start"], "length": parts[0]["length"]}]}
        answer = (await http.post("/stow/store", json=body | ABOUT)).json()["parts"]
    assert answer[0]["failure"] == 0x0111
    arrival = await look(Index(tmp_path / "data"), client, children, stored.orthanc_id)
    assert arrival.upload is None
    assert arrival.inspection.digest == pixels.digest(parsed(await client.file(stored.orthanc_id)))


async def test_frames_are_decoded_and_packed(orthanc, client, children, tmp_path):
    values = np.random.default_rng(3).integers(0, 4096, (3, 20, 30)).astype("<u2")
    data = transcoded(
        file_bytes(mr(values, bits_stored=12, study_uid="1.2.5.4", series_uid="1.2.5.4.1"))
    ).data
    oid = (await client.store(data)).orthanc_id
    async with running(orthanc, tmp_path) as http:
        base = f"/instances/{oid}/frames"
        unknown = await http.get(f"{base}/2", params={"form": "single"})
        assert unknown.status_code == 404  # it is found by its row only
        take(tmp_path, await look(Index(tmp_path / "data"), client, children, oid))
        native = await http.get(f"{base}/2", params={"form": "single"})
        assert (
            native.headers["content-type"] == "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
        )
        assert native.content == values[1].tobytes()
        several = await http.get(f"{base}/3,1", params={"form": "multipart", "stored": HT})
        assert several.headers["content-type"].startswith('multipart/related; type="image/jphc"; boundary=')
        assert (
            several.content.count(b"Content-Type: image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202") == 2
        )
        assert (await http.get(f"{base}/4", params={"form": "single"})).status_code == 404
        for form, count in (("single", 1), ("multipart", 2)):
            whole = await http.post(
                "/instances", json={"instances": [[oid, HT, False]] * count, "form": form}
            )
            assert whole.content.count(data) == count
        decoded = await http.post("/instances", json={"instances": [[oid, HT, True]], "form": "single"})
        assert np.array_equal(parsed(decoded.content).pixel_array, values)
        bad = {"instances": [["0" * 8, HT, False]], "form": "single"}
        assert (await http.post("/instances", json=bad)).status_code == 404


@pytest.mark.filterwarnings("ignore")
async def test_what_cannot_be_decoded_is_406_alone_and_as_stored_among_others(orthanc, client, tmp_path):
    broken = parsed(bundled("MR_small_RLE.dcm"))
    broken.PixelData = encapsulate([bytes(64)])
    broken.StudyInstanceUID = "1.2.5.7"
    files = [mr_file(study_uid="1.2.5.7", series_uid="1.2.5.7.1"), file_bytes(broken, RLE)]
    good, bad = [(await client.store(data)).orthanc_id for data in files]
    async with running(orthanc, tmp_path) as http:

        async def ask(*instances):
            body = {"instances": list(instances), "form": "multipart"}
            return await http.post("/instances", json=body)

        assert (await ask([bad, RLE, True])).status_code == 406
        both = await ask([good, "1.2.840.10008.1.2.1", False], [bad, RLE, True])
        assert both.status_code == 200
        assert files[0] in both.content
        assert files[1] in both.content
        assert f"Content-Type: application/dicom; transfer-syntax={RLE}\r\n".encode() in both.content
    assert list((tmp_path / "stow").iterdir()) == []


def take(tmp_path, arrival):
    take_in(Index(tmp_path / "data"), tmp_path / "data", arrival, "Patient/1")


@pytest.mark.filterwarnings("ignore")
async def test_frames_are_shown_one_at_a_time_and_what_cannot_be_shown_is_said(
    orthanc, client, children, tmp_path
):
    values = np.random.default_rng(3).integers(0, 4096, (3, 20, 30)).astype("<u2")
    data = transcoded(
        file_bytes(mr(values, bits_stored=12, study_uid="1.2.5.6", series_uid="1.2.5.6.1"))
    ).data
    oid = (await client.store(data)).orthanc_id
    deep = mr_file(np.array([[0, 1 << 21]], "<i4"), study_uid="1.2.5.6", series_uid="1.2.5.6.2")
    other = (await client.store(deep)).orthanc_id
    async with running(orthanc, tmp_path) as http:
        for one in (oid, other):
            take(tmp_path, await look(Index(tmp_path / "data"), client, children, one))

        async def show(pictures, form):
            body = {"pictures": pictures, "display": Display("image/png").to_json(), "form": form}
            return await http.post("/rendered", json=body)

        single = await show([[oid, 2]], "single")
        assert single.headers["content-type"] == "image/png"
        assert Image.open(BytesIO(single.content)).size == (30, 20)
        several = await show([[oid, 3], [oid, 2]], "multipart")
        assert several.headers["content-type"].startswith('multipart/related; type="image/png"; boundary=')
        assert several.content.count(b"Content-Type: image/png") == 2
        assert single.content in several.content
        assert (await show([[other, 1]], "single")).status_code == 406
        assert (await show([[oid, 1]] * 1001, "multipart")).status_code == 400


async def test_leftovers_of_uploads_are_removed_after_an_hour(tmp_path):
    (tmp_path / NAME).write_bytes(b"x")
    assert forget_stale(tmp_path) == 0
    assert forget_stale(tmp_path, older_than_s=-1) == 1
    assert list(tmp_path.iterdir()) == []
