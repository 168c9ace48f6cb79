"""Pictures of stored images through the public door: /rendered and /thumbnail, also by dicomweb-client."""

from __future__ import annotations

from io import BytesIO

import httpx
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image

from tests.facade.door import Door, parts

pytestmark = pytest.mark.server
NAMES = ("rendered", "thumbnail")


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def test_dicomweb_client_gets_pictures_in_both_forms(dicomweb_client: DICOMwebClient, door: Door) -> None:
    uid = door.uid
    first = (uid, f"{uid}.1", f"{uid}.1.1")
    for media_type, form in (("image/jpeg", "JPEG"), ("image/png", "PNG")):
        data = dicomweb_client.retrieve_instance_rendered(*first, media_types=(media_type,))
        assert (opened(data).format, opened(data).size) == (form, (43, 65))
    frame = dicomweb_client.retrieve_instance_frames_rendered(
        uid, f"{uid}.1", f"{uid}.1.3", [2], ("image/png",)
    )
    values = door.images[2][1].astype(float)
    expected = (values - values.min()) * 255 / (values.max() - values.min())
    assert np.abs(np.asarray(opened(frame)) - expected).max() <= 1


def test_parameters_change_the_picture(door: Door) -> None:
    uid = door.uid
    path, png = f"/dicom-web/studies/{uid}/series/{uid}.1/instances/{uid}.1.1/rendered", "image/png"
    whole = door.doctor.get(path, params={"accept": png})
    small = door.doctor.get(path, params={"accept": png, "viewport": "20,20"})
    assert opened(small.content).size == (13, 20)
    narrow = door.doctor.get(path, params={"accept": png, "window": "2048,1,linear-exact"})
    assert np.array_equal(np.asarray(opened(narrow.content)) > 127, door.images[0] >= 2048)
    assert len({one.headers["etag"] for one in (whole, small, narrow)}) == 3


def test_several_images_come_in_an_envelope_and_the_segmentation_is_none(door: Door) -> None:
    uid, doctor = door.uid, door.doctor
    for path, count in (
        (f"studies/{uid}", 5),
        (f"studies/{uid}/series/{uid}.1", 5),
        (f"studies/{uid}/series/{uid}.1/instances/{uid}.1.3", 3),
        (f"studies/{uid}/series/{uid}.1/instances/{uid}.1.3/frames/3,1", 2),
    ):
        answer = doctor.get(f"/dicom-web/{path}/rendered")
        assert answer.headers["content-type"].startswith('multipart/related; type="image/jpeg"; boundary=')
        assert len(parts(answer)) == count
        assert all(opened(part).format == "JPEG" for part in parts(answer))
        bare = doctor.get(f"/dicom-web/{path}/rendered", headers={"Accept": "image/jpeg"})
        assert bare.status_code == 406
        small = doctor.get(f"/dicom-web/{path}/thumbnail", headers={"Accept": "image/png"})
        assert max(opened(small.content).size) == 128


def test_a_known_picture_is_304_and_head_has_no_body(door: Door) -> None:
    uid, doctor = door.uid, door.doctor
    for name in NAMES:
        path = f"/dicom-web/studies/{uid}/{name}"
        first = doctor.get(path)
        assert first.headers["cache-control"] == "private, no-cache"
        again = doctor.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = doctor.head(path)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", first.headers["etag"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("quality=0", 400),
        ("quality=50&quality=60", 400),
        ("viewport=4097,10", 400),
        ("viewport=99999999,99999999", 400),
        ("window=1", 400),
        ("annotation=patient", 400),
        ("accept=text/html", 406),
        ("accept=image/gif", 406),
    ],
)
def test_what_cannot_be_read_or_drawn_is_refused(door: Door, query: str, status: int) -> None:
    answer = door.doctor.get(f"/dicom-web/studies/{door.uid}/rendered?{query}")
    assert answer.status_code == status, answer.text


def test_nobody_else_sees_a_picture(door: Door) -> None:
    uid = door.uid
    for path in (f"studies/{uid}", f"studies/{uid}/series/{uid}.1/instances/{uid}.1.1/frames/1"):
        for name in NAMES:
            with httpx.Client(base_url=door.base_url) as nobody:
                assert nobody.get(f"/dicom-web/{path}/{name}").status_code == 401
            answer = door.stranger.get(f"/dicom-web/{path}/{name}")
            assert answer.status_code == 404
    beyond = f"studies/{uid}/series/{uid}.1/instances/{uid}.1.1/frames/2/rendered"
    assert door.doctor.get(f"/dicom-web/{beyond}").status_code == 404
