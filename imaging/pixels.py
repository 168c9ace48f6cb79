"""The native pixels of an instance: raw little-endian frames, and the digest by which they are compared.

A frame is what an Explicit VR Little Endian file holds: (rows, columns[, samples]) in C order, the samples of
a pixel side by side whatever the planar configuration, the stored values in the stored colour space, nothing
rescaled.

The digest is SHA-256 over all frames of that form, so that it is the same for every lossless encoding of an
image. Where the stored syntax is lossy, decoders may differ in the last bit: the digest is taken of the
encoded frames then. Where there are no integer pixels, of the data set's bytes. A prefix keeps the three
kinds apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from imaging.errors import CodecError
from imaging.frames import EXPLICIT_LE, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, IMPLICIT_LE
from imaging.htj2k import decode

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
        shape: tuple[int, ...] = (dataset.Rows, dataset.Columns)
        if dataset.SamplesPerPixel > 1:
            shape += (dataset.SamplesPerPixel,)
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


def native_frames(header: Dataset, values: bytes | memoryview) -> Frame:
    """The frames (frame, row, column) of native little-endian pixel data of one sample, without a copy."""
    count, kind = frame_count(header), dtype(header)
    expected = count * header.Rows * header.Columns * kind.itemsize
    if not expected <= len(values) <= expected + 1:
        raise CodecError("The pixel data have another length than the header says.")
    return np.frombuffer(values, kind, expected // kind.itemsize).reshape(count, header.Rows, header.Columns)


def _decoded(dataset: Dataset, shape: tuple[int, ...], kind: np.dtype[Any]) -> Iterator[tuple[Frame, str]]:
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    colour = str(dataset.PhotometricInterpretation)
    if syntax in _DIRECT and len(shape) == 2:
        for frame in native_frames(dataset, dataset.PixelData):
            yield frame, colour
    elif syntax in (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL):
        for stream in encoded_frames(dataset):
            # Decoding undoes the colour transform.
            yield decode(stream), "RGB" if colour == "YBR_RCT" else colour
    else:
        # raw: neither colour conversion nor any other change of the stored values.
        for frame, about in get_decoder(syntax).iter_array(dataset, raw=True, validate=True):
            yield frame, str(about["photometric_interpretation"])


def encoded_frames(dataset: Dataset) -> Iterator[bytes]:
    """The encoded frames of encapsulated pixel data, fragments joined."""
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    yield from generate_frames(
        dataset.PixelData, number_of_frames=frame_count(dataset), extended_offsets=offsets
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


def digest(dataset: Dataset) -> str:
    """The digest of an instance that has integer pixels; raises CodecError if they cannot be decoded."""
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if dataset.get("BitsAllocated") == 1:
        return f"bit-{hashlib.sha256(dataset.PixelData).hexdigest()}"
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
