import tracemalloc
from uuid import uuid4

import httpx
import numpy as np
import pytest

from imaging.errors import OrthancError, OrthancNotFoundError, OrthancTemporaryError
from imaging.orthanc import OrthancClient
from imaging.orthanc_id import orthanc_id
from imaging.read import inspect
from tests.imaging.builders import mr_file, transcoded

NOWHERE = orthanc_id("a", "b", "c", "d")


def client_of(answer):
    return OrthancClient("http://orthanc", "user", "secret", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, OrthancNotFoundError),
        (503, OrthancTemporaryError),
        (500, OrthancTemporaryError),
        (401, OrthancError),
    ],
)
async def test_answers_become_errors_by_what_can_be_done_about_them(status, error):
    async with client_of(lambda request: httpx.Response(status)) as client:
        with pytest.raises(error) as raised:
            await client.file(NOWHERE)
    assert type(raised.value) is error


async def test_silence_is_temporary():
    def refuse(request):
        raise httpx.ConnectError("no", request=request)

    async with client_of(refuse) as client:
        with pytest.raises(OrthancTemporaryError):
            await client.statistics()


@pytest.mark.parametrize("oid", ["", "..", f"{NOWHERE}/../../system", "x" * 44])
async def test_only_orthanc_ids_get_into_a_path(oid):
    def never(request):
        raise AssertionError("it was sent")

    async with client_of(never) as client:
        for call in (client.file, client.delete, client.tags, client.origin, client.exists, client.md5):
            with pytest.raises(OrthancError):
                await call(oid)


@pytest.mark.server
async def test_a_stored_file_comes_back_byte_for_byte(client):
    plain = mr_file(study_uid="1.2.7.1", series_uid="1.2.7.1.1")
    for number, data in enumerate((plain, transcoded(plain).data)):
        found = inspect(data)
        stored = await client.store(data)
        assert stored.orthanc_id == found.orthanc_id, number
        assert await client.file(stored.orthanc_id) == data
        assert await client.md5(stored.orthanc_id) == found.file_md5
        await client.delete(stored.orthanc_id)


@pytest.mark.server
async def test_a_duplicate_does_not_overwrite(client):
    first = mr_file(study_uid="1.2.7.2", series_uid="1.2.7.2.1")
    other = mr_file(study_uid="1.2.7.2", series_uid="1.2.7.2.1", PatientName="Test^Other")
    stored = await client.store(first)
    before = (await client.changes(0, 100_000)).last
    again = await client.store(other)
    assert (again.orthanc_id, again.status) == (stored.orthanc_id, "AlreadyStored")
    assert await client.file(stored.orthanc_id) == first
    assert (await client.changes(before)).items == ()


@pytest.mark.server
async def test_the_change_feed_tells_what_came_and_where_from(client):
    since = (await client.changes(0, 100_000)).last
    stored = await client.store(mr_file(study_uid="1.2.7.3", series_uid="1.2.7.3.1"))
    changes = await client.changes(since)
    assert (changes.done, changes.items[0].kind, changes.items[0].orthanc_id) == (
        True,
        "NewInstance",
        stored.orthanc_id,
    )
    assert (await client.origin(stored.orthanc_id)).protocol == "RestApi"
    assert (await client.tags(stored.orthanc_id))["0010,0020"] == "0001"


@pytest.mark.server
async def test_what_is_deleted_is_gone_and_may_be_deleted_again(client):
    stored = await client.store(mr_file(study_uid="1.2.7.4", series_uid="1.2.7.4.1"))
    assert await client.exists(stored.orthanc_id)
    await client.delete(stored.orthanc_id)
    await client.delete(stored.orthanc_id)
    assert not await client.exists(stored.orthanc_id)
    with pytest.raises(OrthancNotFoundError):
        await client.file(stored.orthanc_id)


@pytest.mark.server
async def test_modalities_may_send_and_nothing_else(client):
    await client.put_modality("probe", "PROBE", "127.0.0.1", 11112)
    found = (await client.modalities())["probe"]
    assert (found["AET"], found["AllowStore"], found["AllowFind"], found["AllowMove"]) == (
        "PROBE",
        True,
        False,
        False,
    )
    await client.delete_modality("probe")
    assert "probe" not in await client.modalities()


@pytest.mark.server
async def test_what_is_not_dicom_is_refused(client):
    with pytest.raises(OrthancError):
        await client.store(b"junk")


async def test_a_store_is_sent_again_when_orthanc_hung_up() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        if len(asked) == 1:
            raise httpx.RemoteProtocolError("Server disconnected", request=request)
        return httpx.Response(200, json={"ID": "-".join(["01234567"] * 5), "Status": "AlreadyStored"})

    async with client_of(answer) as orthanc:
        assert (await orthanc.store(b"DICM")).status == "AlreadyStored"
    assert asked == ["POST", "POST"]


async def test_a_large_part_of_an_upload_is_stored_without_being_read_whole(client, tmp_path):
    study = f"1.2.{uuid4().int}"[:56]
    data = mr_file(np.zeros((64, 512, 512), "<u2"), study_uid=study, series_uid=f"{study}.1")
    (tmp_path / "upload").write_bytes(b"before" + data + b"after")
    tracemalloc.start()
    try:
        stored = await client.store_part(tmp_path / "upload", len(b"before"), len(data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stored.status == "Success"
    assert peak < len(data) / 3
    assert await client.file(stored.orthanc_id) == data
    await client.delete(stored.orthanc_id)
