import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from imaging import pixels
from imaging.display import Display
from imaging.errors import CodecError
from imaging.read import metadata
from imaging.rendering import native, one_frame, render
from tests.imaging.builders import bundled, file_bytes, mr, parsed, transcoded

LE, HT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.202"
PNG = Display("image/png")


def one(dataset, number=1):
    """A frame of a data set as the pixels process has it: header and stored bytes apart."""
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax in pixels.NATIVE:
        encoded = np.ascontiguousarray(list(pixels.frames(dataset))[number - 1][0]).tobytes()
        syntax, dataset.PlanarConfiguration = LE, 0
    else:
        encoded = list(pixels.encoded_frames(dataset))[number - 1]
    return one_frame(json.dumps(metadata(dataset)).encode(), syntax, encoded)


def picture(dataset, how=PNG, number=1):
    return np.asarray(Image.open(BytesIO(render(one(dataset, number), number, how))))


def slice_of(values, **tags):
    return parsed(file_bytes(mr(np.asarray(values), **tags)))


RAMP = np.arange(256, dtype="<i2").reshape(16, 16)


def test_the_frames_window_is_applied_after_the_rescaling():
    rescaled = slice_of(RAMP, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=100, WindowWidth=201)
    expected = np.clip(np.rint((RAMP * 2.0 - 100 - 99.5) / 200 * 255 + 127.5), 0, 255)
    assert np.abs(picture(rescaled).astype(int) - expected).max() <= 1
    without = slice_of(RAMP * 4)  # without any window: from the least value to the greatest
    assert np.array_equal(picture(without), RAMP)


@pytest.mark.parametrize(
    ("window", "at"),
    [
        ((128.5, 101, "LINEAR"), {78: 0, 128: 128, 178: 255}),
        ((128, 100, "LINEAR_EXACT"), {78: 0, 128: 128, 178: 255}),
        ((128, 100, "SIGMOID"), {28: 5, 128: 128, 228: 250}),
    ],
)
def test_a_window_that_is_asked_for_takes_the_place_of_the_frames(window, at):
    shown = picture(slice_of(RAMP, WindowCenter=1, WindowWidth=1), Display("image/png", window=window))
    assert all(abs(int(shown.flat[value]) - grey) <= 1 for value, grey in at.items())


def test_an_enhanced_image_has_a_window_for_each_frame():
    def group(centre):
        window, item = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = centre, 2
        item.FrameVOILUTSequence = [window]
        return item

    groups = [group(50), group(200)]
    dataset = slice_of(np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=groups)
    for number, centre in ((1, 50), (2, 200)):
        shown = picture(dataset, number=number)
        assert (shown.flat[centre - 2], shown.flat[centre + 2]) == (0, 255)


def test_white_and_black_change_places_once():
    for tags in (
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        {"PresentationLUTShape": "INVERSE"},
    ):
        assert np.array_equal(picture(slice_of(RAMP, **tags)), 255 - RAMP)


def test_colour_and_depth_are_kept():
    colours = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype("u1")
    assert np.array_equal(picture(slice_of(colours)), colours)
    deep = np.random.default_rng(2).integers(0, 1 << 16, (16, 16, 3)).astype("<u2")
    assert np.array_equal(picture(slice_of(deep)), (deep >> 8).astype("u1"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("CT_small.dcm", (128, 128)),
        ("MR_small_RLE.dcm", (64, 64)),
        ("SC_rgb_jpeg_gdcm.dcm", (100, 100, 3)),
        ("examples_palette.dcm", (350, 800, 3)),
        ("examples_jpeg2k.dcm", (480, 640, 3)),
        ("examples_ybr_color.dcm", (240, 320, 3)),
    ],
)
def test_every_stored_form_is_shown(name, shape):
    dataset = parsed(bundled(name))
    shown = picture(dataset)
    assert shown.shape == shape
    assert shown.std() > 5


def test_a_palette_is_looked_up():
    tables = {
        f"{colour}PaletteColorLookupTable{what}": value
        for place, colour in enumerate(("Red", "Green", "Blue"))
        for what, value in (
            ("Descriptor", [256, 0, 16]),
            ("Data", (np.arange(256, dtype="<u2") * 256 // (place + 1)).tobytes()),
        )
    }
    dataset = slice_of(RAMP.astype("u1"), PhotometricInterpretation="PALETTE COLOR", **tables)
    shown = picture(dataset)
    assert np.array_equal(shown[..., 0], RAMP)
    assert np.array_equal(shown[..., 2], RAMP // 3)


def test_a_stored_frame_gives_its_native_bytes():
    values = np.random.default_rng(3).integers(0, 4096, (2, 16, 12)).astype("<u2")
    stored = parsed(transcoded(file_bytes(mr(values, bits_stored=12))).data)
    assert stored.file_meta.TransferSyntaxUID == HT
    assert native(one(stored, 2)) == values[1].tobytes()


def test_the_picture_fits_into_the_viewport_with_its_proportions():
    dataset = slice_of(np.tile(RAMP, (1, 2)))
    assert picture(dataset, Display("image/png", viewport=(64, 64))).shape == (32, 64)
    assert picture(dataset, Display("image/png", viewport=(64, 8))).shape == (8, 16)
    cut = Display("image/png", region=(4, 2, 8, 6))
    assert np.array_equal(picture(slice_of(RAMP), cut), RAMP[2:8, 4:12])
    turned = Display("image/png", region=(4, 2, -8, -6))
    assert np.array_equal(picture(slice_of(RAMP), turned), RAMP[2:8, 4:12][::-1, ::-1])
    with pytest.raises(CodecError):
        picture(slice_of(RAMP), Display("image/png", region=(99, 0, 1, 1)))


def test_quality_is_that_of_the_jpeg():
    noise = slice_of(np.random.default_rng(4).integers(0, 256, (64, 64)).astype("<i2"))
    sizes = [len(render(one(noise), 1, Display(quality=quality))) for quality in (5, 50, 100)]
    assert sizes == sorted(set(sizes))


def test_what_is_too_large_or_has_no_greys_is_refused_before_it_is_decoded():
    header = {"Rows": 65535, "Columns": 65535}
    with pytest.raises(CodecError, match="too large"):
        one_frame(json.dumps(metadata(slice_of(RAMP, **header))).encode(), LE, b"")
    wide = slice_of(np.array([[0, 1 << 21]], "<i4"))
    with pytest.raises(CodecError, match="too wide"):
        picture(wide)
