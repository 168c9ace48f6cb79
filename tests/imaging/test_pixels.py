import numpy as np
import pytest

from imaging import pixels
from imaging.errors import CodecError
from tests.imaging.builders import bundled, mr_file, parsed

SAME = ["MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm"]
SAME += ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_expb.dcm"]


@pytest.mark.filterwarnings("ignore")
def test_every_lossless_form_of_an_image_has_one_digest():
    assert len({pixels.digest(parsed(bundled(name))) for name in SAME}) == 1


def test_one_changed_pixel_changes_the_digest():
    values = np.zeros((8, 8), "<i2")
    before = pixels.digest(parsed(mr_file(values)))
    values[3, 4] = 1
    assert pixels.digest(parsed(mr_file(values))) != before


def test_planar_colour_has_the_digest_of_interleaved_colour():
    values = np.random.default_rng(1).integers(0, 256, (6, 5, 3)).astype("u1")
    interleaved = parsed(mr_file(values))
    planar = parsed(mr_file(values))
    planar.PlanarConfiguration = 1
    planar.PixelData = np.ascontiguousarray(np.moveaxis(values, -1, 0)).tobytes()
    assert pixels.digest(planar) == pixels.digest(interleaved)


def test_lossy_images_are_compared_by_their_encoded_frames():
    assert pixels.digest(parsed(bundled("JPEG2000.dcm"))).startswith("enc-")


@pytest.mark.parametrize("change", [-2, 4])
def test_pixel_data_of_another_length_are_refused(change):
    dataset = parsed(mr_file())
    raw = dataset.PixelData
    dataset.PixelData = raw[:change] if change < 0 else raw + b"\0" * change
    with pytest.raises(CodecError, match="length"):
        pixels.digest(dataset)


def test_frames_that_the_header_does_not_have_are_refused():
    dataset = parsed(mr_file(np.zeros((3, 8, 8), "<u2")))
    dataset.NumberOfFrames = 2
    with pytest.raises(CodecError):
        list(pixels.frames(dataset))
