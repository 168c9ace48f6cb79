import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from imaging import htj2k
from imaging.errors import CodecError

_FRAMES = st.sampled_from(
    [("<u1", 8), ("<i1", 8), ("<u2", 16), ("<i2", 16), ("<u2", 12), ("<i2", 12), ("<u1", 5)]
)


@st.composite
def _frame(draw):
    kind, bits = draw(_FRAMES)
    dtype = np.dtype(kind)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype.kind == "i" else (0, (1 << bits) - 1)
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    if draw(st.booleans()):
        shape += (3,)
    values = draw(arrays.arrays(dtype, shape, elements=st.integers(low, high)))
    return values, bits


@settings(max_examples=60, deadline=None)
@given(_frame())
def test_decoding_gives_back_every_value_in_both_decoders(case):
    values, bits = case
    stream = htj2k.encode(values, bits)
    assert np.array_equal(htj2k.decode(stream), values)
    assert np.array_equal(htj2k.decode_second(stream), values)
    htj2k.check_header(stream, bits, signed=values.dtype.kind == "i", colour_transform=False)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4096), (4096, 1), (513, 257), (3, 3, 3)])
def test_odd_shapes_survive(shape):
    values = np.random.default_rng(1).integers(0, 65536, shape).astype("<u2")
    assert np.array_equal(htj2k.decode_second(htj2k.encode(values, 16)), values)


def test_big_endian_values_are_not_swapped():
    values = np.arange(64 * 64, dtype=">u2").reshape(64, 64)
    assert np.array_equal(htj2k.decode_second(htj2k.encode(values, 16)), values)


def test_the_colour_transform_is_written_only_when_asked_for():
    values = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype("u1")
    for wanted in (True, False):
        stream = htj2k.encode(values, 8, colour_transform=wanted)
        assert np.array_equal(htj2k.decode(stream), values)
        htj2k.check_header(stream, 8, signed=False, colour_transform=wanted)
        with pytest.raises(CodecError):
            htj2k.check_header(stream, 8, signed=False, colour_transform=not wanted)


def test_values_beyond_bits_stored_are_refused():
    with pytest.raises(CodecError, match="beyond BitsStored"):
        htj2k.encode(np.array([[4096]], "<u2"), 12)
    with pytest.raises(CodecError, match="beyond BitsStored"):
        htj2k.encode(np.array([[2048]], "<i2"), 12)


@pytest.mark.parametrize("kind", ["<u4", "<i4", "<f4"])
def test_pixels_without_a_second_decoder_are_refused(kind):
    with pytest.raises(CodecError):
        htj2k.encode(np.zeros((4, 4), kind), 16)


@pytest.mark.parametrize(("side", "levels"), [(64, 5), (2048, 5), (2049, 6), (3000, 6), (9000, 8)])
def test_the_base_resolution_is_small_enough(side, levels):
    assert htj2k.decompositions(side, 100) == levels
    assert side / 2 ** htj2k.decompositions(side, 100) <= 64


def test_a_stream_of_another_precision_is_noticed():
    stream = htj2k.encode(np.zeros((8, 8), "<u2"), 16)
    with pytest.raises(CodecError, match="precision"):
        htj2k.check_header(stream, 12, signed=False, colour_transform=False)


def test_junk_is_a_codec_error():
    for decode in (htj2k.decode, htj2k.decode_second):
        with pytest.raises(CodecError):
            decode(b"junk")
