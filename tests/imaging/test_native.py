"""Whole instances as Explicit VR Little Endian."""

from tempfile import TemporaryFile

import numpy as np
import pytest

from imaging import pixels
from imaging.errors import CodecError
from imaging.frames import EXPLICIT_LE
from imaging.native import to_explicit
from imaging.part10 import in_memory
from imaging.read import inspect
from tests.imaging.builders import bundled, file_bytes, mr, mr_file, parsed, transcoded

pytestmark = pytest.mark.filterwarnings("ignore")
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
LOSSLESS = ["MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "image_dfl.dcm"]
LOSSLESS += ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_rle_2frame.dcm"]
LOSSLESS += ["SC_rgb_rle_32bit.dcm", "SC_rgb_rle_16bit_2frame.dcm"]


def explicit(data):
    with TemporaryFile() as target:
        digest = to_explicit(in_memory(data), target)
        target.seek(0)
        return digest, target.read()


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_image_gives_the_pixels_that_were_received(name):
    received = inspect(bundled(name))
    digest, data = explicit(bundled(name))
    found = inspect(data)
    assert found.transfer_syntax == EXPLICIT_LE
    assert digest == found.digest == received.digest
    assert (found.sop_uid, found.tags, found.pixel_error) == (received.sop_uid, received.tags, "")


@pytest.mark.parametrize("shape", [(20, 21), (3, 20, 21), (20, 21, 3), (5, 7, 3)])
def test_the_way_to_htj2k_and_back_changes_nothing(shape):
    kind = "u1" if shape[-1] == 3 else "<u2"
    values = np.random.default_rng(1).integers(0, 256, shape).astype(kind)
    data = mr_file(values, PatientName="시험^환자=試驗^患者")
    _, back = explicit(transcoded(data).data)
    before, after = parsed(data), parsed(back)
    assert after.file_meta.TransferSyntaxUID == EXPLICIT_LE
    before.file_meta = after.file_meta
    assert after == before


@pytest.mark.parametrize(
    ("name", "lossy"),
    [("SC_rgb_jpeg_dcmtk.dcm", "01"), ("JPEG2000.dcm", None), ("examples_ybr_color.dcm", "01")],
)
def test_a_lossy_image_is_decompressed_and_still_says_what_it_is(name, lossy):
    source = parsed(bundled(name))
    after = parsed(explicit(bundled(name))[1])
    assert after.file_meta.TransferSyntaxUID == EXPLICIT_LE
    assert after.get("LossyImageCompression") == (lossy or source.get("LossyImageCompression"))
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod", "DerivationDescription"):
        assert after.get(keyword) == source.get(keyword)
    assert after.PhotometricInterpretation in ("MONOCHROME2", "RGB", "YBR_FULL")
    assert np.array_equal(
        np.stack([frame for frame, _ in pixels.frames(after)]),
        np.stack([frame for frame, _ in pixels.frames(source)]),
    )


def test_a_syntax_that_is_always_lossy_sets_the_flag():
    source = parsed(bundled("SC_rgb_jpeg_dcmtk.dcm"))
    del source.LossyImageCompression
    assert parsed(explicit(file_bytes(source, JPEG_BASELINE))[1]).LossyImageCompression == "01"


def test_what_has_no_pixels_is_written_anew():
    data = bundled("test-SR.dcm")
    digest, after = explicit(data)
    assert digest == ""
    assert parsed(after).file_meta.TransferSyntaxUID == EXPLICIT_LE
    assert parsed(after) == parsed(data)


def test_what_cannot_be_decoded_is_refused():
    broken = parsed(bundled("MR_small_RLE.dcm"))
    broken.PixelData = broken.PixelData[:200]
    with pytest.raises(CodecError):
        explicit(file_bytes(broken, broken.file_meta.TransferSyntaxUID))
    lying = mr(Rows=17)
    with pytest.raises(CodecError, match="length"):
        explicit(file_bytes(lying))
