"""A file of 192 MiB is read, converted and passed on in a fraction of that memory."""

import errno
import hashlib
import tracemalloc
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest

from imaging import pixels
from imaging.child import Children
from imaging.errors import ScratchError
from imaging.fetched import fetched
from imaging.orthanc import OrthancClient
from imaging.part10 import opened, parse
from tests.imaging import large

MIB = 1 << 20
FRAMES = 96
SIZE = FRAMES * large.FRAME
OID = "-".join(["0123abcd"] * 5)


def peak_bytes(children):
    """The most resident memory that the only child of these ever had (proc(5), VmHWM)."""
    status = Path(f"/proc/{children._all[0]._process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("make", [large.native, large.encapsulated])
async def test_an_upload_is_read_in_less_memory_than_it_has(tmp_path, make):
    path = make(tmp_path / "large.dcm", FRAMES)
    async with Children(1) as children:
        found = await children.inspect_file(path)
        assert peak_bytes(children) < SIZE
    assert (found.frames, found.pixel_error, found.size_bytes) == (FRAMES, "", path.stat().st_size)
    if make is large.native:
        assert found.digest == f"px-{hashlib.sha256(bytes(SIZE)).hexdigest()}"


async def test_a_large_image_is_converted_in_less_memory_than_it_has(tmp_path):
    path, target = large.native(tmp_path / "large.dcm", FRAMES), tmp_path / "target"
    target.touch()
    async with Children(1) as children:
        result = await children.transcode(path, target)
        assert peak_bytes(children) < SIZE
    assert (result["outcome"], result["reason"]) == ("done", "")
    with opened(target) as file:
        dataset = parse(file).dataset
        assert pixels.digest(dataset) == result["digest"]
        assert not any(np.any(frame) for frame, _ in pixels.frames(dataset))


async def test_a_full_disk_is_the_disks_error_not_the_files(tmp_path):
    """/dev/full is a disk that is always full."""
    path = large.native(tmp_path / "small.dcm", 2)
    async with Children(1) as children:
        with pytest.raises(ScratchError) as caught:
            await children.transcode(path, Path("/dev/full"))
        assert caught.value.temporary
        assert (await children.inspect_file(path)).pixel_error == ""

    class Orthanc(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return httpx.Response(200, stream=Zeros())

    async with OrthancClient("http://orthanc", "u", "p", transport=Orthanc()) as client:
        with pytest.raises(ScratchError):
            await client.fetch(OID, FullDisk())


class Zeros(httpx.AsyncByteStream):
    async def __aiter__(self):
        for _ in range(FRAMES):
            yield bytes(large.FRAME)


class FullDisk(BytesIO):
    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_stored_file_comes_and_goes_in_pieces(tmp_path):
    received = hashlib.sha256()

    class Orthanc(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            if request.method == "GET":
                return httpx.Response(200, stream=Zeros())
            async for piece in request.stream:
                received.update(piece)
            return httpx.Response(200, json={"ID": OID, "Status": "Success"})

    async with OrthancClient("http://orthanc", "u", "p", transport=Orthanc()) as client:
        tracemalloc.start()
        try:
            async with fetched(client, OID, tmp_path) as path:
                assert (await client.store_file(path)).status == "Success"
            assert sum([len(piece) async for piece in client.pieces(OID)]) == SIZE
            assert tracemalloc.get_traced_memory()[1] < 16 * MIB
        finally:
            tracemalloc.stop()
    assert received.hexdigest() == hashlib.sha256(bytes(SIZE)).hexdigest()
