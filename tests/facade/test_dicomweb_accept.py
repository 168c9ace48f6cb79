import pytest

from facade.errors import BadRequestError, NotAcceptableError
from facade.routes.accept import Form, frame_form, instance_form, ranges, takes_json

HT = "1.2.840.10008.1.2.4.202"
LE = "1.2.840.10008.1.2.1"
STORED, NATIVE = Form("stored", False, HT), Form("native", False, LE)
STORED_PARTS, NATIVE_PARTS = Form("stored", True, HT), Form("native", True, LE)


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (None, STORED),
        ("*/*", STORED),
        ("image/jphc", STORED),
        ("image/*", STORED),
        (f"image/jphc; transfer-syntax={HT}", STORED),
        (f'image/jphc; transfer-syntax="{HT}"', STORED),
        ("application/octet-stream", NATIVE),
        (f"application/octet-stream; transfer-syntax={LE}", NATIVE),
        (f"application/octet-stream; transfer-syntax={HT}", STORED),
        ("application/octet-stream; transfer-syntax=*", STORED),
        ("multipart/related; type=application/octet-stream; transfer-syntax=*", STORED_PARTS),
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', STORED_PARTS),
        ('multipart/related; type="application/octet-stream"', NATIVE_PARTS),
        ("multipart/related", NATIVE_PARTS),
        (f'multipart/related; type="image/jphc"; transfer-syntax={HT}', STORED_PARTS),
        ("image/jpeg;q=0.9, image/jphc;q=0.5", STORED),
        ("image/jphc;q=0.2, application/octet-stream;q=0.8", NATIVE),
        ("image/jphc;q=0, application/octet-stream", NATIVE),
    ],
)
def test_a_frame_of_htj2k_is_answered_as_accept_asks(header, form):
    assert frame_form(header, HT, several=False) == form


@pytest.mark.parametrize(
    "header",
    [
        "image/jpeg",
        "text/html",
        f"image/jphc; transfer-syntax={LE}",
        "image/jphc; transfer-syntax=1.2.3",
        "image/jphc;q=0",
    ],
)
def test_what_cannot_be_made_is_not_acceptable(header):
    with pytest.raises(NotAcceptableError):
        frame_form(header, HT, several=False)


def test_several_frames_need_an_envelope():
    assert frame_form("*/*", HT, several=True) == STORED_PARTS
    with pytest.raises(NotAcceptableError):
        frame_form("image/jphc", HT, several=True)


def test_an_uncompressed_original_is_sent_as_it_is_stored():
    for stored in (LE, "1.2.840.10008.1.2"):
        assert frame_form("application/octet-stream", stored, several=False) == Form("stored", False, LE)


def test_big_endian_is_decoded():
    for header in (None, "application/octet-stream", "application/octet-stream; transfer-syntax=*"):
        assert frame_form(header, "1.2.840.10008.1.2.2", several=False) == NATIVE


@pytest.mark.parametrize("header", ["nonsense", "image/jphc;q=2", "a/b;q=x", ",".join(["a/b"] * 40)])
def test_what_cannot_be_read_is_refused(header):
    with pytest.raises(BadRequestError):
        ranges(header)


DICOM = 'multipart/related; type="application/dicom"'


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (None, NATIVE_PARTS),
        ("*/*", NATIVE_PARTS),
        (DICOM, NATIVE_PARTS),
        ("application/dicom", NATIVE),
        (f"application/dicom; transfer-syntax={LE}", NATIVE),
        (f"{DICOM}; transfer-syntax=*", STORED_PARTS),
        (f'{DICOM}; transfer-syntax="{HT}"', STORED_PARTS),
        ("application/dicom; transfer-syntax=*", STORED),
        (f"application/dicom; transfer-syntax={HT}", STORED),
        (f"application/dicom; q=0.1, {DICOM}; transfer-syntax=*", STORED_PARTS),
    ],
)
def test_whole_instances_are_explicit_little_endian_unless_another_form_is_asked_for(
    header: str | None, form: Form
) -> None:
    assert instance_form(header, HT) == form


def test_what_is_stored_as_explicit_little_endian_goes_out_as_it_is() -> None:
    for header in ("application/dicom", f"application/dicom; transfer-syntax={LE}"):
        assert instance_form(header, LE) == Form("stored", False, LE)
    assert instance_form(DICOM, "1.2.840.10008.1.2") == NATIVE_PARTS


@pytest.mark.parametrize("header", ["application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90", "image/png"])
def test_instances_in_any_other_form_are_refused(header: str) -> None:
    for stored in (HT, LE):
        with pytest.raises(NotAcceptableError):
            instance_form(header, stored)


def test_several_instances_need_an_envelope() -> None:
    with pytest.raises(NotAcceptableError):
        instance_form("application/dicom", HT, several=True)
    assert instance_form("application/dicom, */*;q=0.1", HT, several=True) == NATIVE_PARTS


def test_metadata_are_json():
    for header in (None, "*/*", "application/dicom+json", "application/json"):
        takes_json(header)
    with pytest.raises(NotAcceptableError):
        takes_json('multipart/related; type="application/dicom+xml"')
