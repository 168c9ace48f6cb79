"""Hostile and torn files: each ends as a refusal with a reason, or is taken in and never converted."""

import os
import random
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest

from imaging import part10
from imaging.child import Children
from imaging.errors import ChildDiedError, CodecError, DICOMError
from imaging.frames import EXPLICIT_LE
from imaging.read import inspect
from tests.imaging.builders import bundled, file_bytes, mr, mr_file, parsed, transcoded
from tests.imaging.mutations import damaged, seeds

pytestmark = pytest.mark.filterwarnings("ignore")
RLE = "1.2.840.10008.1.2.5"
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
PIXELS = b"\xe0\x7f\x10\x00OW\0\0"


def check_never_converted(data):
    """It is read with a reason why its pixels are not, and stays as it is."""
    found = inspect(data)
    assert found.pixel_error
    assert found.digest.startswith("raw-")
    result = transcoded(data)
    assert (result.outcome, result.data) == ("kept", None)
    assert result.reason


def encapsulated(*fragments, offsets=b"", end=DELIMITER, **tags):
    """An RLE image of two frames of 16 x 12 around these fragments."""
    dataset = mr(np.zeros((2, 16, 12), "<u2"), **tags)
    del dataset.PixelData
    value = ITEM + struct.pack("<I", len(offsets)) + offsets
    for fragment in fragments:
        value += ITEM + struct.pack("<I", len(fragment)) + fragment
    return file_bytes(dataset, RLE) + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + value + end


FRAME = struct.pack("<16I", 2, 64, 68, *[0] * 13) + b"\x81\0\xc1\0" * 2  # 2 x 192 zero bytes


def test_the_fragments_of_these_tests_are_an_image():
    assert inspect(encapsulated(FRAME, FRAME)).pixel_error == ""


@pytest.mark.parametrize(
    "tags",
    [
        {"Rows": 65535, "Columns": 65535},
        {"NumberOfFrames": 2_147_483_647},
        {"NumberOfFrames": -1},
        {"Rows": 0},
        {"Columns": 0, "NumberOfFrames": 2_000_000_000},
        {"SamplesPerPixel": 3},
        {"SamplesPerPixel": 0},
        {"SamplesPerPixel": 65535},
        {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        {"BitsAllocated": 12},
        {"BitsAllocated": 0},
        {"BitsAllocated": 64},
        {"BitsAllocated": 32},
        {"Rows": None},
        {"BitsAllocated": None},
        {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 7},
    ],
)
def test_sizes_and_depths_that_lie_are_never_converted(tags):
    check_never_converted(mr_file(**tags))


@pytest.mark.parametrize("tags", [{"BitsStored": 20}, {"BitsStored": 0}, {"HighBit": 3}, {"HighBit": 99}])
def test_depths_that_do_not_fit_together_keep_the_original(tags):
    result = transcoded(mr_file(**tags))
    assert (result.outcome, result.data) == ("kept", None)


@pytest.mark.parametrize(
    "data",
    [
        encapsulated(FRAME),
        encapsulated(FRAME, FRAME, FRAME),
        encapsulated(),
        encapsulated(b"", b""),
        encapsulated(FRAME, FRAME[:30]),
        encapsulated(FRAME, FRAME, NumberOfFrames=3),
        encapsulated(FRAME, FRAME, NumberOfFrames=1_000_000_000),
        encapsulated(FRAME, FRAME, Rows=17),
        encapsulated(FRAME, FRAME, offsets=struct.pack("<2I", 0, 0xFFFFFFF0)),
        encapsulated(
            FRAME,
            FRAME,
            ExtendedOffsetTable=struct.pack("<2Q", 0, 1 << 62),
            ExtendedOffsetTableLengths=struct.pack("<2Q", 76, 1 << 62),
        ),
    ],
)
def test_fragments_that_do_not_match_the_frames_are_never_converted(data):
    check_never_converted(data)


@pytest.mark.parametrize(
    "data",
    [
        encapsulated(FRAME, FRAME, end=b""),
        encapsulated(FRAME, FRAME, end=ITEM + struct.pack("<I", 0x7FFFFFFF)),
        encapsulated(FRAME, FRAME, end=ITEM + struct.pack("<I", 0xFFFFFFFF)),
        encapsulated(FRAME, FRAME, end=b"\x28\x00\x10\x00"),
        mr_file().replace(PIXELS + struct.pack("<I", 384), PIXELS + struct.pack("<I", 0xFFFFFFF0)),
        mr_file().replace(PIXELS, b"\xe0\x7f\x10\x00US\0\0"),
        mr_file().replace(PIXELS, b"\xe0\x7f\x10\x00SQ\0\0"),
        mr_file() + b"\x01",
        mr_file()[:-1],
    ],
)
def test_lengths_and_types_that_lie_are_refused(data):
    with pytest.raises(DICOMError):
        inspect(data)


def test_fragments_of_a_large_file_that_lie_are_refused(monkeypatch):
    monkeypatch.setattr(part10, "LARGE", 16)
    assert inspect(encapsulated(FRAME, FRAME)).pixel_error == ""
    for end in (ITEM + struct.pack("<I", 0xFFFFFFFF), b"\x28\0\x10\0\0\0\0\0" + DELIMITER, b""):
        with pytest.raises(DICOMError):
            inspect(encapsulated(FRAME, FRAME, end=end))


@pytest.mark.parametrize("frames", [0.5, 2, 3])
def test_colour_of_another_length_is_never_converted(frames):
    values = np.zeros((16, 12, 3), "u1")
    check_never_converted(mr_file(values, PixelData=bytes(int(frames * values.nbytes))))


@pytest.mark.parametrize(
    ("element", "forged"),
    [
        (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x10\x00LO\x02\x00"),
        (b"\x28\x00\x11\x00US\x02\x00", b"\x28\x00\x11\x00UI\x02\x00"),
        (b"\x28\x00\x00\x01US\x02\x00", b"\x28\x00\x00\x01FD\x02\x00"),
        (b"\x28\x00\x02\x00US\x02\x00", b"\x28\x00\x02\x00AT\x02\x00"),
    ],
)
def test_image_attributes_of_a_wrong_type_are_refused_or_never_converted(element, forged):
    assert element in mr_file()
    data = mr_file().replace(element, forged)
    with suppress(DICOMError):
        check_never_converted(data)


@pytest.mark.parametrize("depth", [100, 20_000])
async def test_recursive_sequences_do_not_end_the_child(depth):
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + ITEM + b"\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + DELIMITER
    dataset = mr()
    data = file_bytes(dataset)
    at = data.index(b"\x08\x00\x50\x00SH")
    nested = data[:at] + opening * depth + closing * depth + data[at:]
    async with Children(1) as children:
        await children.inspect(mr_file())
        pid = children._all[0]._process.pid
        if depth == 100:
            assert (await children.inspect(nested)).digest == inspect(data).digest
        else:
            with pytest.raises(DICOMError):
                await children.inspect(nested)
        assert children._all[0]._process.pid == pid


def deflated(body):
    dataset = mr()
    del dataset.PixelData
    head = file_bytes(dataset, "1.2.840.10008.1.2.1.99")
    start = 144 + struct.unpack("<I", head[140:144])[0]
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain = zlib.decompress(head[start:], -zlib.MAX_WBITS) + body
    return head[:start] + engine.compress(plain) + engine.flush()


def test_a_deflated_bomb_is_refused_before_it_fills_the_disk(monkeypatch):
    monkeypatch.setattr(part10, "_MOST_INFLATED", 8 << 20)
    bomb = deflated(PIXELS + struct.pack("<I", 64 << 20) + bytes(64 << 20))
    assert len(bomb) < 1 << 18
    with pytest.raises(DICOMError, match="too large"):
        inspect(bomb)
    assert inspect(deflated(PIXELS + struct.pack("<I", 384) + bytes(384))).pixel_error == ""
    with pytest.raises(DICOMError, match="truncated"):
        inspect(deflated(b"")[:-30])


async def test_a_header_that_needs_more_memory_than_there_is_is_refused(tmp_path):
    data = mr_file()
    at, length = data.index(PIXELS), 600 << 20
    path = tmp_path / "bomb"
    path.write_bytes(data[:at] + b"\x19\x09\x10\x10UT\0\0" + struct.pack("<I", length))
    os.truncate(path, path.stat().st_size + length)
    async with Children(1, memory_bytes=1 << 30) as children:
        with pytest.raises((DICOMError, ChildDiedError)):
            await children.inspect_file(path)
        assert (await children.inspect(data)).pixel_error == ""


def test_a_codestream_of_another_depth_than_the_header_is_never_converted():
    source = parsed(bundled("MR_small_jp2klossless.dcm"))
    source.BitsAllocated = source.BitsStored = 8
    source.HighBit = 7
    check_never_converted(file_bytes(source, source.file_meta.TransferSyntaxUID))


async def test_damaged_files_are_read_converted_or_refused_and_nothing_else(tmp_path):
    """300 files that are the same each time; `tests/imaging/mutations.py` makes any number."""
    chance, sources = random.Random(20260101), seeds()
    source, target = tmp_path / "source", tmp_path / "target"
    read = refused = 0
    async with Children(1, timeout_s=20, memory_bytes=2 << 30) as children:
        for _ in range(300):
            source.write_bytes(damaged(chance.choice(sources), chance))
            target.write_bytes(b"")
            try:
                found = await children.inspect_file(source)
                read += 1
                result = await children.transcode(source, target)
            except (DICOMError, ChildDiedError):
                refused += 1
                continue
            if result["is_written"]:
                assert result["digest"] == found.digest == inspect(target.read_bytes()).digest
        assert (await children.inspect(mr_file())).transfer_syntax == EXPLICIT_LE
    assert min(read, refused) > 30


def test_errors_say_nothing_of_a_files_values():
    for name in ("PatientName", "PatientID"):
        data = mr_file(**{name: "SECRET^VALUE"})
        for torn in (data[:-9], data.replace(PIXELS, b"\xe0\x7f\x10\x00SQ\0\0")):
            with pytest.raises((DICOMError, CodecError)) as caught:
                inspect(torn)
            assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 0x7FFFFFFF, 0xFFFFFEBE])
def test_a_group_length_that_lies_ends_at_once(length):
    def forged(data):
        return data[:140] + struct.pack("<I", length) + data[144:]

    result = transcoded(forged(mr_file()))
    assert (result.outcome, "file meta" in result.reason) == ("kept", True)
    with pytest.raises(DICOMError):
        inspect(forged(deflated(PIXELS + struct.pack("<I", 384) + bytes(384))))
