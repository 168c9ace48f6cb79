"""Bulk data, ranges, conditions and compressed metadata through the public door."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from imaging import htj2k
from tests.facade.door import HT, LARGE, Door, parts

pytestmark = pytest.mark.server


def instance(door: Door, number: int) -> str:
    return f"/dicom-web/studies/{door.uid}/series/{door.uid}.1/instances/{door.uid}.1.{number}"


@pytest.fixture(scope="module")
def promised(door: Door) -> dict[str, str]:
    """The addresses that the metadata of the second slice give."""
    (found,) = door.doctor.get(f"{instance(door, 2)}/metadata").json()
    nested = found["00480105"]["Value"][0]["00282000"]
    return {
        "pixels": found["7FE00010"]["BulkDataURI"],
        "top": found["00282000"]["BulkDataURI"],
        "nested": nested["BulkDataURI"],
    }


@pytest.mark.parametrize(("name", "value"), [("top", LARGE), ("nested", LARGE[::-1])])
def test_a_large_value_is_had_where_the_metadata_point(
    door: Door, promised: dict[str, str], name: str, value: bytes
) -> None:
    bare = door.doctor.get(promised[name], headers={"Accept": "application/octet-stream"})
    assert (bare.status_code, bare.content) == (200, value)
    assert bare.headers["content-type"] == "application/octet-stream"
    packed = door.doctor.get(
        promised[name], headers={"Accept": 'multipart/related; type="application/octet-stream"'}
    )
    assert parts(packed) == [value]
    part = door.doctor.get(promised[name], headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, value[5:10])
    again = door.doctor.get(promised[name], headers={"If-None-Match": bare.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert door.doctor.get(promised[name], headers={"Accept": "image/png"}).status_code == 406


def test_pixel_data_are_every_frame(door: Door, promised: dict[str, str]) -> None:
    one = door.doctor.get(promised["pixels"])
    assert one.headers["content-type"] == f"image/jphc; transfer-syntax={HT}"
    assert np.array_equal(htj2k.decode(one.content), door.images[1])
    many = f"{instance(door, 3)}/bulkdata/7FE00010"
    stored = parts(door.doctor.get(many, headers={"Accept": "multipart/related; type=image/jphc"}))
    assert np.array_equal([htj2k.decode(part) for part in stored], door.images[2])
    octets = {"Accept": 'multipart/related; type="application/octet-stream"'}
    assert b"".join(parts(door.doctor.get(many, headers=octets))) == door.images[2].tobytes()


@pytest.mark.parametrize(
    "path",
    ["00100010", "00282000", "00480105.1.00282000", "7fe00010x", "0010%2f..", "00480105.0", "7FE00011"],
)
def test_what_is_not_promised_is_not_there(door: Door, path: str) -> None:
    answer = door.doctor.get(f"{instance(door, 1)}/bulkdata/{path}")
    assert answer.status_code in (400, 404), answer.text
    assert "Demo" not in answer.text


def test_nobody_else_gets_bulk_data(door: Door, promised: dict[str, str]) -> None:
    for address in promised.values():
        assert door.stranger.get(address).status_code == 404
        with httpx.Client() as nobody:
            assert nobody.get(address).status_code == 401


@pytest.mark.parametrize("what", ["frame", "value", "instance"])
def test_a_range_beyond_the_end_is_416(door: Door, promised: dict[str, str], what: str) -> None:
    address, accept = {
        "frame": (f"{instance(door, 1)}/frames/1", "image/jphc"),
        "value": (promised["top"], "application/octet-stream"),
        "instance": (instance(door, 1), "application/dicom; transfer-syntax=*"),
    }[what]
    answer = door.doctor.get(address, headers={"Range": "bytes=99999999-", "Accept": accept})
    assert answer.status_code == 416, answer.headers
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "ERR_110"


def test_metadata_are_compressed_for_who_takes_it(door: Door) -> None:
    path = f"/dicom-web/studies/{door.uid}/metadata"
    packed = door.doctor.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    plain = door.doctor.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers.get("content-length", 0)) < len(plain.content)
    again = door.doctor.get(path, headers={"If-None-Match": packed.headers["etag"]})
    assert again.status_code == 304
