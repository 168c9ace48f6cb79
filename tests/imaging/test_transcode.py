import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from imaging import htj2k, pixels, rewrite
from imaging.frames import HTJ2K_LOSSLESS_RPCL
from tests.imaging.builders import bundled, file_bytes, mr, mr_file, parsed, transcoded

pytestmark = pytest.mark.filterwarnings("ignore")

# Every kind of file that pydicom ships: what becomes of it, and why.
TABLE = [
    ("CT_small.dcm", "done", ""),
    ("MR_small.dcm", "done", ""),
    ("MR_small_implicit.dcm", "done", ""),
    ("MR_small_bigendian.dcm", "done", ""),
    ("MR_small_RLE.dcm", "done", ""),
    ("MR_small_jp2klossless.dcm", "done", ""),
    ("MR_small_jpeg_ls_lossless.dcm", "done", ""),
    ("J2K_pixelrep_mismatch.dcm", "done", ""),
    ("GDCMJ2K_TextGBR.dcm", "done", ""),
    ("ExplVR_BigEnd.dcm", "done", ""),
    ("SC_rgb_small_odd.dcm", "done", ""),
    ("SC_rgb_small_odd_big_endian.dcm", "done", ""),
    ("SC_rgb_rle_16bit_2frame.dcm", "done", ""),
    ("SC_rgb_jpeg_gdcm.dcm", "done", ""),
    ("examples_palette.dcm", "done", ""),
    ("examples_overlay.dcm", "done", ""),
    ("image_dfl.dcm", "done", ""),
    ("MR_truncated.dcm", "kept", "length"),
    ("MR_small_padded.dcm", "kept", "length"),
    ("JPEG2000.dcm", "kept", "lossy"),
    ("JPEG-lossy.dcm", "kept", "lossy"),
    ("JPEGLSNearLossless_16.dcm", "kept", "lossy"),
    ("SC_rgb_rle_32bit.dcm", "kept", "32 allocated bits"),
    ("rtdose.dcm", "kept", "32 allocated bits"),
    ("SC_ybr_full_422_uncompressed.dcm", "kept", "Subsampled"),
    ("liver_1frame.dcm", "not-applicable", "segmentation"),
    ("test-SR.dcm", "not-applicable", "no integer pixel data"),
    ("rtplan.dcm", "not-applicable", "no integer pixel data"),
    ("waveform_ecg.dcm", "not-applicable", "no integer pixel data"),
]


@pytest.mark.parametrize(("name", "outcome", "reason"), TABLE)
def test_pydicoms_files_get_the_outcome_of_the_table(name, outcome, reason):
    source = bundled(name)
    result = transcoded(source)
    assert (result.outcome, reason in result.reason) == (outcome, True)
    if outcome != "done":
        assert result.data is None
        return
    before, after = parsed(source), parsed(result.data)
    assert after.file_meta.TransferSyntaxUID == HTJ2K_LOSSLESS_RPCL
    assert pixels.digest(after) == pixels.digest(before) == result.digest
    assert after.SOPInstanceUID == before.SOPInstanceUID
    changed = {
        element.keyword for element in after if element.tag not in before or before[element.tag] != element
    }
    assert changed <= {
        "PixelData",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
    }


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_an_icon_image_stays_as_it_is(syntax):
    icon = Dataset()
    icon.SamplesPerPixel, icon.PhotometricInterpretation, icon.PixelRepresentation = 1, "MONOCHROME2", 0
    icon.Rows, icon.Columns = 5, 3
    icon.BitsAllocated, icon.BitsStored, icon.HighBit = 8, 8, 7
    icon.PixelData = bytes(range(15)) + b"\0"
    result = transcoded(file_bytes(mr(IconImageSequence=[icon]), syntax))
    assert result.outcome == "done"
    (after,) = parsed(result.data).IconImageSequence
    assert {name: after[name].value for name in icon.dir()} == {name: icon[name].value for name in icon.dir()}


@st.composite
def _pixels(draw):
    kind, bits = draw(
        st.sampled_from([("<u1", 8), ("<u2", 16), ("<i2", 16), ("<u2", 12), ("<i2", 10), ("<i1", 8)])
    )
    dtype = np.dtype(kind)
    low = -(1 << bits - 1) if dtype.kind == "i" else 0
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)))
    values = draw(arrays.arrays(dtype, shape, elements=st.integers(low, low + (1 << bits) - 1)))
    return (values if draw(st.booleans()) else values[0]), bits


@settings(max_examples=60, deadline=None)
@given(_pixels())
def test_any_image_reads_back_equal_from_the_whole_file(case):
    values, bits = case
    result = transcoded(mr_file(values, bits_stored=bits))
    assert result.outcome == "done", result.reason
    after = parsed(result.data)
    assert after.BitsStored == bits
    read = np.stack([frame for frame, _ in pixels.frames(after)])
    assert np.array_equal(read.reshape(values.shape), values)
    # pydicom's own way of reading, which uses the other decoder
    assert np.array_equal(after.pixel_array.reshape(values.shape), values)


def test_the_header_is_carried_over_byte_for_byte():
    source = mr_file(PatientName="시험^환자=試驗^患者", ImageComments="unchanged " * 20)
    result = transcoded(source)
    start = 144 + struct.unpack("<I", source[140:144])[0]
    end = source.index(b"\xe0\x7f\x10\x00OW")
    assert source[start:end] in result.data


def test_what_follows_the_pixels_stays():
    dataset = mr()
    dataset.add_new(0xFFFCFFFC, "OB", b"\1\2\3\4")
    result = transcoded(file_bytes(dataset))
    assert parsed(result.data)[0xFFFCFFFC].value == b"\1\2\3\4"


def test_several_frames_get_an_extended_offset_table():
    values = np.random.default_rng(1).integers(0, 4096, (5, 33, 31)).astype("<u2")
    after = parsed(transcoded(mr_file(values, bits_stored=12)).data)
    offsets = np.frombuffer(after.ExtendedOffsetTable, "<u8")
    lengths = np.frombuffer(after.ExtendedOffsetTableLengths, "<u8")
    assert len(offsets) == len(lengths) == 5
    for frame, offset, length in zip(values, offsets, lengths, strict=True):
        start = (
            8 + int(offset) + 8
        )  # behind the empty basic offset table item, and this item's tag and length
        assert np.array_equal(htj2k.decode_second(after.PixelData[start : start + int(length)]), frame)


def test_a_second_run_leaves_htj2k_as_it_is():
    once = transcoded(mr_file())
    twice = transcoded(once.data)
    assert (twice.outcome, twice.data, twice.digest) == ("done", None, once.digest)


def test_a_second_decoder_that_sees_other_pixels_keeps_the_original(monkeypatch):
    real = htj2k.decode_second
    monkeypatch.setattr(htj2k, "decode_second", lambda stream: real(stream) + 1)
    result = transcoded(mr_file())
    assert (result.outcome, result.data) == ("kept", None)
    assert "second decoder" in result.reason


def test_frames_that_do_not_read_back_from_the_file_keep_the_original(monkeypatch):
    real = rewrite.Encapsulated.add
    monkeypatch.setattr(rewrite.Encapsulated, "add", lambda self, stream: real(self, stream[:-2]) + b"..")
    result = transcoded(mr_file())
    assert (result.outcome, result.data) == ("kept", None)
    assert "read back" in result.reason


@pytest.mark.parametrize(
    "tags",
    [
        {"BitsStored": 20},
        {"HighBit": 3},
        {"BitsStored": 12, "HighBit": 11},
        {"Rows": 17},
        {"PixelRepresentation": 0},
    ],
)
def test_a_header_that_lies_keeps_the_original_or_the_very_words(tags):
    values = np.full((16, 12), -5, "<i2")
    result = transcoded(mr_file(values, **tags))
    if result.outcome == "done":
        # another sign is another reading of the same words, and -5 fits into 12 signed bits
        words = np.stack([frame for frame, _ in pixels.frames(parsed(result.data))])
        assert words.tobytes() == values.tobytes()
    else:
        assert result.outcome == "kept"
        assert result.reason


def test_values_beyond_bits_stored_keep_the_original():
    result = transcoded(mr_file(np.full((4, 4), 5000, "<u2"), bits_stored=12))
    assert (result.outcome, "BitsStored" in result.reason) == ("kept", True)


def test_colour_says_that_it_was_transformed():
    values = np.random.default_rng(1).integers(0, 256, (20, 21, 3)).astype("u1")
    after = parsed(transcoded(mr_file(values)).data)
    assert after.PhotometricInterpretation == "YBR_RCT"
    assert np.array_equal(after.pixel_array, values)
