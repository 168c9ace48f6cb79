"""Ways around the viewer's door, through nginx: none reaches Orthanc, a file or another study."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from tests.facade.door import Door

pytestmark = pytest.mark.server
INSTANCE = "/dicom-web/studies/{uid}/series/{uid}.1/instances/{uid}.1.1"


def asked(door: Door, target: str, *, method: str = "GET", host: str = "localhost") -> tuple[int, bytes]:
    """Status and answer of a request whose target goes out as it is: a client library would tidy it."""
    where = urlsplit(door.base_url)
    cookie = "; ".join(f"{name}={value}" for name, value in door.doctor.cookies.items())
    lines = (f"{method} {target} HTTP/1.1", f"Host: {where.netloc}", f"Cookie: {cookie}", "Connection: close")
    with socket.create_connection((where.hostname or host, where.port or 80), timeout=30) as connection:
        connection.sendall("\r\n".join((*lines, "", "")).encode("latin-1"))
        answer = b""
        while chunk := connection.recv(1 << 16):
            answer += chunk
    return int(answer.split(b" ", 2)[1]), answer


def test_the_way_itself_is_open(door: Door) -> None:
    status, _ = asked(door, INSTANCE.format(uid=door.uid) + "/frames/1")
    assert status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/dicom-web/../internal-orthanc/instances",
        "/dicom-web/..%2finternal-orthanc/instances",
        "/dicom-web/%2e%2e/internal-orthanc/instances",
        "/dicom-web/%252e%252e/internal-orthanc/instances",
        "/dicom-web/..;/internal-orthanc/instances",
        "/dicom-web//internal-orthanc/instances",
        "/internal-orthanc/instances",
        "/internal-orthanc%2finstances",
        "/INTERNAL-ORTHANC/instances",
        "/internal-pixels/instances/x/file",
        "/internal-hapi/Patient",
        "/instances",
        "/system",
        "/tools/find",
        "/dicom-web/tools/find",
        "/dicom-web/instances/../../system",
        "/wado?requestType=WADO",
        "/dicom-web/studies/{uid}%2f..%2f..%2fsystem",
        "/dicom-web/studies/{uid}%00/metadata",
        "/dicom-web/studies/{uid}%0d%0aX-Accel-Redirect:%20/internal-orthanc/system/metadata",
        "/dicom-web/studies/" + "1" * 65 + "/metadata",
        "/dicom-web/studies/" + "1." * 4000 + "1/metadata",
        "/dicom-web/studies/{uid}/series/{uid}.1/instances/{uid}.1.1/../../../../../internal-orthanc/system",
        INSTANCE + "/frames/1%2f..%2f..%2ffile",
        INSTANCE + "/frames/0",
        INSTANCE + "/frames/2",
        INSTANCE + "/frames/1,2",
        INSTANCE + "/frames/-1",
        INSTANCE + "/frames/%31%30",
        INSTANCE + "/frames/99999999999999999999",
        INSTANCE + "/frames/" + ",".join(["1"] * 501),
        INSTANCE + "/frames/all",
        INSTANCE + "/frames/1?form=single&stored=..%2f..",
        INSTANCE + "/file",
        INSTANCE + "/attachments/dicom/data",
        INSTANCE + "/content/0010-0010",
        INSTANCE + "/bulkdata/0010-0010",
    ],
)
def test_no_path_leads_around_the_door(door: Door, target: str) -> None:
    status, answer = asked(door, target.replace("{uid}", door.uid))
    if "?form=" in target:  # parameters of the inner address are nobody's to give
        assert status == 200
        assert b"image/jphc" in answer.split(b"\r\n\r\n")[0]
        return
    assert status in (400, 403, 404, 414), answer[:300]
    for inner in (b"Orthanc", b"OrthancStatus", b"DICM", b"Traceback", b"/internal-"):
        assert inner not in answer


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "TRACE", "CONNECT"])
def test_only_reading_methods_reach_an_instance(door: Door, method: str) -> None:
    status, answer = asked(door, INSTANCE.format(uid=door.uid), method=method)
    assert status in (400, 403, 405), answer[:300]


@pytest.mark.parametrize(
    "header", ["X-Accel-Redirect", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override"]
)
def test_no_header_changes_what_is_asked_for(door: Door, header: str) -> None:
    with httpx.Client(base_url=door.base_url, cookies=dict(door.stranger.cookies)) as client:
        answer = client.get(
            f"/dicom-web/studies/{door.uid}/metadata", headers={header: "/internal-orthanc/system"}
        )
    assert answer.status_code == 404
    assert "Orthanc" not in answer.text


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("bytes=0-0", 206),
        ("bytes=-5", 206),
        ("bytes=5-2", 416),
        ("bytes=999999999-", 416),
        ("bytes=0-0,2-2", 200),
        ("lines=1-2", 200),
    ],
)
def test_ranges_stay_within_the_frame(door: Door, value: str, status: int) -> None:
    path = INSTANCE.format(uid=door.uid) + "/frames/1"
    whole = door.doctor.get(path)
    answer = door.doctor.get(path, headers={"Range": value})
    assert answer.status_code == status, answer.headers
    assert len(answer.content) <= len(whole.content) + 500


def test_a_login_that_has_ended_sees_nothing(door: Door) -> None:
    with httpx.Client(base_url=door.base_url, cookies={"session": "x", "__Host-session": "x"}) as client:
        assert client.get(INSTANCE.format(uid=door.uid) + "/frames/1").status_code == 401
