import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.errors import MultipartError
from imaging.multipart import boundary, extents
from tests.imaging.builders import multipart


def parts_of(tmp_path, body, content_type):
    path = tmp_path / "body"
    path.write_bytes(body)
    return [body[e.start : e.start + e.length] for e in extents(path, content_type)]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_every_part_is_found_byte_for_byte(tmp_path_factory, parts):
    # The sender chooses a boundary that its parts do not have.
    parts = [part.replace(b"--limit", b"") for part in parts]
    body, content_type = multipart(*parts)
    assert parts_of(tmp_path_factory.mktemp("m"), body, content_type) == parts


def test_a_preamble_and_an_epilogue_are_ignored(tmp_path):
    body, content_type = multipart(b"one", b"two")
    assert parts_of(tmp_path, b"preamble\r\n" + body + b"epilogue", content_type) == [b"one", b"two"]


@pytest.mark.parametrize(
    "header",
    [
        'multipart/related; type="application/dicom"; boundary=limit',
        'multipart/related;boundary="limit";type=application/dicom',
        "Multipart/Related; boundary=limit",
    ],
)
def test_boundaries_are_read_in_every_spelling(header):
    assert boundary(header) == "limit"


@pytest.mark.parametrize(
    "header", ["", "application/dicom", "multipart/related", "multipart/form-data; boundary=x"]
)
def test_other_types_are_refused(header):
    with pytest.raises(MultipartError):
        boundary(header)


@pytest.mark.parametrize("cut", [1, 3, 10, 40, 60])
def test_a_body_that_ends_early_is_refused(tmp_path, cut):
    body, content_type = multipart(b"one" * 20, b"two" * 20)
    with pytest.raises(MultipartError):
        parts_of(tmp_path, body[: -cut - 2], content_type)


@pytest.mark.parametrize("body", [b"", b"no boundary here", b"--limit\r\nno end of header"])
def test_junk_is_refused(tmp_path, body):
    with pytest.raises(MultipartError):
        parts_of(tmp_path, body, 'multipart/related; boundary="limit"')
