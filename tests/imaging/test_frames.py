import pytest

from imaging import frames

OID = "e75174a7-f85cc03f-7294e0df-3ac1250e-8a0aa637"


def test_frames_count_from_one_outside_and_from_zero_inside():
    assert frames.frame_uri(OID, 1) == f"/internal-orthanc/instances/{OID}/frames/0/raw"
    with pytest.raises(ValueError, match="count from 1"):
        frames.frame_uri(OID, 0)


@pytest.mark.parametrize("oid", ["", "..", OID + "/..", OID.upper(), OID[:-1], f"{OID}\n", "../../changes"])
def test_nothing_but_an_orthanc_id_gets_into_a_uri(oid):
    for build in (frames.file_uri, lambda text: frames.frame_uri(text, 1)):
        with pytest.raises(ValueError, match="Orthanc"):
            build(oid)


@pytest.mark.parametrize("uid", ["1.2.3", "0", "1." * 31 + "12"])
def test_uids_are_digits_and_dots(uid):
    assert frames.is_uid(uid)


@pytest.mark.parametrize(
    "uid", ["", ".", "1.", ".1", "1..2", "1.2a", "1/2", "..", "1.2\n", "1." * 32 + "1", "１.2"]
)
def test_anything_else_is_no_uid(uid):
    assert not frames.is_uid(uid)


def test_htj2k_is_labelled_as_the_viewer_expects():
    assert frames.frame_media_type("1.2.840.10008.1.2.4.202") == (
        "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"
    )
