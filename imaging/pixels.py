"""The native pixels of an instance: raw little-endian frames, and the digest by which they are compared.

A frame is what an Explicit VR Little Endian file holds: (rows, columns[, samples]) in C order, the samples of
a pixel side by side whatever the planar configuration, the stored values in the stored colour space, nothing
rescaled. Frames are read one at a time: memory follows the size of a frame, not of a file.

The digest is SHA-256 over all frames of that form, so that it is the same for every lossless encoding of an
image. Where the stored syntax is lossy, decoders may differ in the last bit: the digest is taken of the
encoded frames then. Where there are no integer pixels, of the data set's bytes. A prefix keeps the three
kinds apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BufferedIOBase, BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import UID

from imaging.errors import CodecError
from imaging.frames import EXPLICIT_LE, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, IMPLICIT_LE
from imaging.htj2k import decode
from imaging.part10 import PIECE, Range

# PS3.6 table A-1. JPEG 2000 (.91) and HTJ2K (.203) may carry either; they count as lossy because nothing in
# the syntax says that they are not.
LOSSLESS_ENCAPSULATED = frozenset(
    {
        "1.2.840.10008.1.2.4.57",
        "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80",
        "1.2.840.10008.1.2.4.90",
        HTJ2K_LOSSLESS,
        HTJ2K_LOSSLESS_RPCL,
        "1.2.840.10008.1.2.5",
    }
)
NATIVE = frozenset(
    {
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    }
)
Frame = NDArray[Any]
_DIRECT = frozenset({EXPLICIT_LE, IMPLICIT_LE})


def dtype(dataset: Dataset) -> np.dtype[Any]:
    """The little-endian type of one stored value; CodecError if it is not whole bytes."""
    bits = int(dataset.BitsAllocated)
    if bits not in (8, 16, 32):
        raise CodecError(f"Pixels of {bits} allocated bits are not read.")
    sign = "i" if dataset.PixelRepresentation == 1 else "u"
    return np.dtype(f"<{sign}{bits // 8}")


def frame_count(dataset: Dataset) -> int:
    """NumberOfFrames, which is absent for one."""
    return int(dataset.get("NumberOfFrames") or 1)


def frames(dataset: Dataset) -> Iterator[tuple[Frame, str]]:
    """Each native frame, (rows, columns) or (rows, columns, samples), little-endian, and its colour space.

    Raises CodecError where a frame cannot be decoded or has another size than the header says.
    """
    try:
        samples = int(dataset.SamplesPerPixel)
        if samples < 1:
            raise CodecError("A pixel has no sample.")
        shape: tuple[int, ...] = (dataset.Rows, dataset.Columns)
        if samples > 1:
            shape += (samples,)
        kind = dtype(dataset)
        count = 0
        for frame, colour in _decoded(dataset, shape, kind):
            if frame.shape != shape:
                raise CodecError("A frame has another size than the header says.")
            count += 1
            yield np.ascontiguousarray(frame.astype(kind, casting="same_value", copy=False)), colour
        if count != frame_count(dataset):
            raise CodecError("The number of frames is not the one that the header says.")
    except CodecError:
        raise
    except Exception as error:
        raise CodecError(f"The pixels could not be decoded ({type(error).__name__}).") from error


def _decoded(dataset: Dataset, shape: tuple[int, ...], kind: np.dtype[Any]) -> Iterator[tuple[Frame, str]]:
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    colour = str(dataset.PhotometricInterpretation)
    if syntax in _DIRECT and len(shape) == 2:
        yield from ((frame, colour) for frame in _native_frames(dataset, shape, kind))
    elif syntax in (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL):
        for stream in encoded_frames(dataset):
            # Decoding undoes the colour transform.
            yield decode(stream), "RGB" if colour == "YBR_RCT" else colour
    else:
        if syntax in NATIVE:
            _check_length(dataset, colour)
        # raw: neither colour conversion nor any other change of the stored values.
        for frame, about in get_decoder(syntax).iter_array(_from_start(dataset), raw=True, validate=True):
            yield frame, str(about["photometric_interpretation"])


def _native_frames(dataset: Dataset, shape: tuple[int, ...], kind: np.dtype[Any]) -> Iterator[Frame]:
    count, (data, length) = frame_count(dataset), value(dataset)
    size = shape[0] * shape[1] * kind.itemsize
    if size == 0 or not count * size <= length <= count * size + 1:
        raise CodecError("The pixel data have another length than the header says.")
    for _ in range(count):
        yield np.frombuffer(data.read(size), kind).reshape(shape)


def _check_length(dataset: Dataset, colour: str) -> None:
    """What pydicom checks of values in memory, and not of values in a file."""
    expected, actual = get_expected_length(dataset), value(dataset)[1]
    one_more = expected + expected // frame_count(dataset)
    if colour == "YBR_FULL_422":
        one_more = expected // 2 * 3  # so long if it is not subsampled at all
    if expected == 0 or not expected <= actual < one_more:
        raise CodecError("The pixel data have another length than the header says.")


def value(dataset: Dataset) -> tuple[BufferedIOBase, int]:
    """The pixel data as a file of its own at its beginning, and their length."""
    stored = dataset.PixelData
    if isinstance(stored, Range):
        return stored.again(), stored.length
    return BytesIO(stored), len(stored)


def _from_start(dataset: Dataset) -> Dataset:
    stored = dataset.PixelData
    if isinstance(stored, Range):
        stored.seek(0)
    return dataset


def encoded_frames(dataset: Dataset) -> Iterator[bytes]:
    """The encoded frames of encapsulated pixel data, fragments joined."""
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    yield from generate_frames(
        value(dataset)[0], number_of_frames=frame_count(dataset), extended_offsets=offsets
    )


class Digest:
    """SHA-256 over frames as they come."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, frame: Frame) -> None:
        """Take in one native frame."""
        self._hash.update(np.ascontiguousarray(frame).data)

    def text(self) -> str:
        """The digest as it is stored."""
        return f"px-{self._hash.hexdigest()}"


def stored_sha256(dataset: Dataset) -> str:
    """SHA-256 of the pixel data element as it is stored."""
    found, (data, _) = hashlib.sha256(), value(dataset)
    while piece := data.read(PIECE):
        found.update(piece)
    return found.hexdigest()


def digest(dataset: Dataset) -> str:
    """The digest of an instance that has integer pixels; raises CodecError if they cannot be decoded."""
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if dataset.get("BitsAllocated") == 1:
        return f"bit-{stored_sha256(dataset)}"
    if syntax not in NATIVE and syntax not in LOSSLESS_ENCAPSULATED:
        found = hashlib.sha256()
        try:
            for stream in encoded_frames(dataset):
                found.update(stream.rstrip(b"\x00"))
        except Exception as error:
            raise CodecError("The encoded frames could not be told apart.") from error
        return f"enc-{found.hexdigest()}"
    result = Digest()
    for frame, _ in frames(dataset):
        result.add(frame)
    return result.text()
