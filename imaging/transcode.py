"""One DICOM instance to the same instance in HTJ2K (.202), with proof that no pixel changed.

Runs in a child without secrets (imaging.child). Nothing but the encoding of the pixels changes: UIDs, header
and trailing elements stay, byte for byte where the source is Explicit VR Little Endian (the splice), else as
pydicom writes them. Every frame is decoded by a second decoder before the next one is read, and the frames
are read back from the written file. On any doubt the original is kept and the reason is told; that is an
outcome, not an error. Memory follows the size of a frame.

Sources: PS3.5 8.2.14, 10.18, A.4.12 (HTJ2K), A.4 (encapsulation, offset tables), PS3.3 C.7.6.3.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Literal

import numpy as np
from pydicom import Dataset
from pydicom.encaps import generate_frames

from imaging import htj2k, part10, pixels
from imaging.errors import CodecError, DICOMError
from imaging.file_meta import transfer_syntax
from imaging.frames import HTJ2K_LOSSLESS_RPCL
from imaging.names import SEG_SOP_CLASS
from imaging.part10 import PIXEL_DATA, Part10, Range
from imaging.read import inspect
from imaging.rewrite import Encapsulated, Rewrite

# PS3.5 8.2.14.
_COLOURS = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL"})


@dataclass(frozen=True)
class Transcoded:
    """What became of one instance. `is_written`: the new form is in the target, and is to be stored."""

    outcome: Literal["done", "not-applicable", "kept"]
    reason: str
    transfer_syntax: str
    is_written: bool = False
    digest: str = ""


def transcode(file: Range, target: BinaryIO) -> Transcoded:
    """Convert one PS3.10 file into `target` (a real file, empty, open for reading and writing).

    Raises nothing for bad pixels: they are kept with the reason.
    """
    source = part10.parse(file)
    reason = _not_applicable(source.dataset)
    if reason:
        return Transcoded("not-applicable", reason, source.syntax)
    try:
        return _convert(source, target)
    except (CodecError, DICOMError) as error:
        return Transcoded("kept", str(error), source.syntax)


def second_digest(file: Range) -> str:
    """The digest of a file, HTJ2K read by the second decoder. Raises CodecError and DICOMError.

    What is stored in another form has the digest that was taken when it came.
    """
    source = part10.parse(file)
    if source.syntax != HTJ2K_LOSSLESS_RPCL or PIXEL_DATA not in source.dataset:
        return inspect(file).digest
    digest, count = pixels.Digest(), 0
    for stream in pixels.encoded_frames(source.dataset):
        digest.add(htj2k.decode_second(stream))
        count += 1
    if count != pixels.frame_count(source.dataset):
        raise CodecError("The number of frames is not the one that the header says.")
    return digest.text()


def _not_applicable(header: Dataset) -> str:
    if header.get("SOPClassUID") == SEG_SOP_CLASS:
        return "A segmentation is left as it is."
    if PIXEL_DATA not in header:
        return "There is no integer pixel data."
    if header.get("BitsAllocated") == 1:
        return "Bit-packed pixels are left as they are."
    return ""


def _convert(source: Part10, target: BinaryIO) -> Transcoded:
    dataset, syntax = source.dataset, source.syntax
    if syntax not in pixels.NATIVE and syntax not in pixels.LOSSLESS_ENCAPSULATED:
        return Transcoded("kept", "The stored syntax is lossy or not read.", syntax)
    bits = _bits_stored(dataset)
    if str(dataset.get("PhotometricInterpretation")).endswith(("_422", "_420")):
        raise CodecError("Subsampled colour has no lossless form here.")
    frames = pixels.frames(dataset)
    first, colour = next(frames)
    if colour not in _COLOURS or (colour in ("RGB", "YBR_FULL")) != (first.ndim == 3):
        raise CodecError("This colour space has no lossless form here.")
    shown = _of_colour(chain([(first, colour)], frames), colour)
    if syntax == HTJ2K_LOSSLESS_RPCL:
        return Transcoded("done", "It was HTJ2K already.", syntax, False, _verified(shown, dataset))
    with_transform = colour == "RGB" and bits == first.dtype.itemsize * 8
    form = _Form(bits, first.dtype.kind == "i", with_transform)
    changes = {}
    if first.ndim == 3:
        colour_now = "YBR_RCT" if with_transform else colour
        changes = {"PlanarConfiguration": 0, "PhotometricInterpretation": colour_now}
    whole = Rewrite(source, target, changes)
    whole.begin(HTJ2K_LOSSLESS_RPCL)
    digest = _encoded(shown, target, pixels.frame_count(dataset), form)
    whole.end()
    target.flush()
    if not whole.is_spliced:
        part10.parse(Range(target))
    if transfer_syntax(Range(target).read(4096)) != HTJ2K_LOSSLESS_RPCL:
        raise CodecError("The written file does not say its transfer syntax.")
    return Transcoded("done", "", HTJ2K_LOSSLESS_RPCL, True, digest)


@dataclass(frozen=True)
class _Form:
    bits: int
    signed: bool
    colour_transform: bool


def _of_colour(frames: Iterable[tuple[pixels.Frame, str]], colour: str) -> Iterator[pixels.Frame]:
    for frame, found in frames:
        if found != colour:
            raise CodecError("The frames have several colour spaces.")
        yield frame


def _encoded(frames: Iterable[pixels.Frame], target: BinaryIO, count: int, form: _Form) -> str:
    """Write the pixel data; the digest of frames that a second decoder reads in them, value by value."""
    digest, written = pixels.Digest(), []
    body = Encapsulated(target, count)
    for frame in frames:
        stream = htj2k.encode(frame, form.bits, colour_transform=form.colour_transform)
        htj2k.check_header(stream, form.bits, signed=form.signed, colour_transform=form.colour_transform)
        _check_equal(frame, stream)
        digest.add(frame)
        stored = body.add(stream)
        # A checksum: it finds a mistake of the tables or of the disk, in a quarter of the time of a digest.
        written.append((len(stored), zlib.crc32(stored)))
    tables = body.finish()
    target.flush()
    value = Range(target, body.value_at, body.length)
    again = generate_frames(value, number_of_frames=count, extended_offsets=tables)
    if [(len(stream), zlib.crc32(stream)) for stream in again] != written:
        raise CodecError("The written frames do not read back.")
    return digest.text()


def _verified(frames: Iterable[pixels.Frame], dataset: Dataset) -> str:
    """The same for frames that are HTJ2K already."""
    digest = pixels.Digest()
    for frame, stream in zip(frames, pixels.encoded_frames(dataset), strict=True):
        _check_equal(frame, stream)
        digest.add(frame)
    return digest.text()


def _check_equal(frame: pixels.Frame, stream: bytes) -> None:
    again = htj2k.decode_second(stream)
    if again.shape != frame.shape or not np.array_equal(again, frame):
        raise CodecError("The second decoder reads other pixels.")


def _bits_stored(dataset: Dataset) -> int:
    allocated, stored = int(dataset.get("BitsAllocated", 0)), int(dataset.get("BitsStored", 0))
    if allocated not in (8, 16):
        raise CodecError(f"Pixels of {allocated} allocated bits have no second decoder.")
    if not 1 <= stored <= allocated or int(dataset.get("HighBit", -1)) != stored - 1:
        raise CodecError("BitsAllocated, BitsStored and HighBit do not fit together.")
    return stored
