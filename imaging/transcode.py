"""One DICOM instance to the same instance in HTJ2K (.202), with proof that no pixel changed.

Runs in a child without secrets (imaging.child). Nothing but the encoding of the pixels changes: UIDs, header
and trailing elements stay, byte for byte where the source is Explicit VR Little Endian (the splice), else as
pydicom writes them. The result is read back and decoded by a second decoder before it is handed out. On any
doubt the original is kept and the reason is told; that is an outcome, not an error.

Sources: PS3.5 8.2.14, 10.18, A.4.12 (HTJ2K), A.4 (encapsulation, offset tables), PS3.3 C.7.6.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from imaging import htj2k, pixels
from imaging.errors import CodecError
from imaging.frames import EXPLICIT_LE, HTJ2K_LOSSLESS_RPCL
from imaging.names import SEG_SOP_CLASS

PIXEL_DATA = 0x7FE00010
# PS3.5 8.2.14.
_COLOURS = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL"})


@dataclass(frozen=True)
class Transcoded:
    """What became of one instance. `data` only if `done` and not already in the wanted form."""

    outcome: Literal["done", "not-applicable", "kept"]
    reason: str
    transfer_syntax: str
    data: bytes | None = None
    digest: str = ""


def transcode(data: bytes) -> Transcoded:
    """Convert one PS3.10 file. Raises nothing for bad pixels: they are kept with the reason."""
    stream = BytesIO(data)
    header = dcmread(stream, stop_before_pixels=True)
    syntax = str(header.file_meta.TransferSyntaxUID)
    splice_at = stream.tell() if syntax == EXPLICIT_LE else None
    reason = _not_applicable(header, data, stream.tell())
    if reason:
        return Transcoded("not-applicable", reason, syntax)
    try:
        return _convert(data, header, syntax, splice_at)
    except CodecError as error:
        return Transcoded("kept", str(error), syntax)


def _not_applicable(header: Dataset, data: bytes, position: int) -> str:
    if header.get("SOPClassUID") == SEG_SOP_CLASS:
        return "A segmentation is left as it is."
    # 7FE0 in little or big endian; deflated files hide it, and are read in full later.
    is_deflated = header.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1.99"
    if not is_deflated and data[position : position + 4] not in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"):
        return "There is no integer pixel data."
    if header.get("BitsAllocated") == 1:
        return "Bit-packed pixels are left as they are."
    return ""


def _convert(data: bytes, header: Dataset, syntax: str, splice_at: int | None) -> Transcoded:
    if syntax not in pixels.NATIVE and syntax not in pixels.LOSSLESS_ENCAPSULATED:
        return Transcoded("kept", "The stored syntax is lossy or not read.", syntax)
    if splice_at is not None and header.get("SamplesPerPixel") == 1:
        return _spliced(data, header, splice_at)
    dataset = dcmread(BytesIO(data))
    if "PixelData" not in dataset:
        return Transcoded("not-applicable", "There is no integer pixel data.", syntax)
    bits = _bits_stored(dataset)
    if str(dataset.get("PhotometricInterpretation")).endswith(("_422", "_420")):
        raise CodecError("Subsampled colour has no lossless form here.")
    decoded = list(pixels.frames(dataset))
    frames = [frame for frame, _ in decoded]
    colour = decoded[0][1]
    if colour not in _COLOURS or (colour in ("RGB", "YBR_FULL")) != (frames[0].ndim == 3):
        raise CodecError("This colour space has no lossless form here.")
    with_transform = colour == "RGB" and bits == frames[0].dtype.itemsize * 8
    if syntax == HTJ2K_LOSSLESS_RPCL:
        digest = _verified(frames, pixels.encoded_frames(dataset), None)
        return Transcoded("done", "It was HTJ2K already.", syntax, None, digest)
    streams = [htj2k.encode(frame, bits, colour_transform=with_transform) for frame in frames]
    result, again = _rewrite(dataset, streams, "YBR_RCT" if with_transform else colour)
    digest = _verified(frames, again, _Form(bits, frames[0].dtype.kind == "i", with_transform))
    return Transcoded("done", "", HTJ2K_LOSSLESS_RPCL, result, digest)


def _spliced(data: bytes, header: Dataset, position: int) -> Transcoded:
    """The quick way for what most scanners send: native little-endian values of one sample."""
    bits = _bits_stored(header)
    if header.get("PhotometricInterpretation") not in _COLOURS:
        raise CodecError("This colour space has no lossless form here.")
    # Explicit VR: tag 4, VR 2, reserved 2, length 4 (PS3.5 7.1.2).
    start = position + 12
    length = int.from_bytes(data[position + 8 : start], "little")
    if data[position + 4 : position + 6] not in (b"OW", b"OB") or length == 0xFFFFFFFF:
        raise CodecError("The pixel data element is not what its syntax asks for.")
    frames = pixels.native_frames(header, memoryview(data)[start : start + length])
    streams = [htj2k.encode(frame, bits) for frame in frames]
    result, again = _splice(data, position, start + length, streams)
    digest = _verified(frames, again, _Form(bits, frames.dtype.kind == "i", False))
    return Transcoded("done", "", HTJ2K_LOSSLESS_RPCL, result, digest)


@dataclass(frozen=True)
class _Form:
    bits: int
    signed: bool
    colour_transform: bool


def _verified(frames: Iterable[pixels.Frame], streams: Iterable[bytes], form: _Form | None) -> str:
    """The digest of frames that a second decoder reads in these streams, value by value."""
    digest = pixels.Digest()
    for frame, stream in zip(frames, streams, strict=True):
        if form is not None:
            htj2k.check_header(stream, form.bits, signed=form.signed, colour_transform=form.colour_transform)
        again = htj2k.decode_second(stream)
        if again.shape != frame.shape or not np.array_equal(again, frame):
            raise CodecError("The second decoder reads other pixels.")
        digest.add(frame)
    return digest.text()


def _bits_stored(dataset: Dataset) -> int:
    allocated, stored = int(dataset.get("BitsAllocated", 0)), int(dataset.get("BitsStored", 0))
    if allocated not in (8, 16):
        raise CodecError(f"Pixels of {allocated} allocated bits have no second decoder.")
    if not 1 <= stored <= allocated or int(dataset.get("HighBit", -1)) != stored - 1:
        raise CodecError("BitsAllocated, BitsStored and HighBit do not fit together.")
    return stored


def _splice(data: bytes, position: int, end: int, streams: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The source's own bytes around new pixel data; the frames as they read back from the result."""
    meta, start = _meta_of_htj2k(data)
    out = BytesIO()
    out.write(data[:132] + meta)
    out.write(data[start:position])
    body = _encapsulated(streams)
    out.write(body.tables)
    out.write(b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff")
    value_at = out.tell()
    out.write(body.value)
    out.write(b"\xfe\xff\xdd\xe0\x00\x00\x00\x00")
    out.write(data[end:])
    result = out.getvalue()
    again = generate_frames(result[value_at:], number_of_frames=len(streams), extended_offsets=body.offsets)
    return result, list(again)


def _meta_of_htj2k(data: bytes) -> tuple[bytes, int]:
    """The file meta information with our transfer syntax in it, and where the data set begins (PS3.10 7.1).

    Its elements are Explicit VR Little Endian: tag 4, VR 2, length 2; or, for some VRs, reserved 2 and length
    4.
    """
    if data[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        raise CodecError("The file meta information has no group length.")
    end = 144 + int.from_bytes(data[140:144], "little")
    position, kept = 144, b""
    uid = HTJ2K_LOSSLESS_RPCL.encode() + b"\0" * (len(HTJ2K_LOSSLESS_RPCL) % 2)
    while position < end:
        is_long = data[position + 4 : position + 6] in (b"OB", b"UN", b"UT", b"UC", b"UR", b"SQ")
        value = position + (12 if is_long else 8)
        size = int.from_bytes(data[value - (4 if is_long else 2) : value], "little")
        if data[position : position + 4] == b"\x02\x00\x10\x00":
            kept += data[position : position + 6] + len(uid).to_bytes(2, "little") + uid
        else:
            kept += data[position : value + size]
        position = value + size
    if position != end:
        raise CodecError("The file meta information has another length than it says.")
    return data[132:140] + len(kept).to_bytes(4, "little") + kept, end


@dataclass(frozen=True)
class _Encapsulated:
    value: bytes
    tables: bytes
    offsets: tuple[bytes, bytes] | None


def _encapsulated(streams: list[bytes]) -> _Encapsulated:
    """One fragment per frame; several frames get the extended offset table (PS3.5 A.4)."""
    if len(streams) == 1:
        return _Encapsulated(encapsulate(streams, has_bot=False), b"", None)
    value, offsets, lengths = encapsulate_extended(streams)
    tables = b"".join(
        tag + b"OV\x00\x00" + len(table).to_bytes(4, "little") + table
        for tag, table in ((b"\xe0\x7f\x01\x00", offsets), (b"\xe0\x7f\x02\x00", lengths))
    )
    return _Encapsulated(value, tables, (offsets, lengths))


def _rewrite(dataset: Dataset, streams: list[bytes], colour: str) -> tuple[bytes, list[bytes]]:
    """The data set written anew as Explicit VR Little Endian around the streams, and the frames read back."""
    body = _encapsulated(streams)
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            del dataset[keyword]
    if body.offsets:
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = body.offsets
    dataset.PixelData = body.value
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = 0
        dataset.PhotometricInterpretation = colour
    dataset.file_meta.TransferSyntaxUID = HTJ2K_LOSSLESS_RPCL
    out = BytesIO()
    try:
        if dataset.original_encoding[1] is False:
            _to_little_endian(dataset)
        dataset.save_as(out, enforce_file_format=True, implicit_vr=False, little_endian=True)
    except Exception as error:
        raise CodecError(f"The header could not be written ({type(error).__name__}).") from error
    again = dcmread(BytesIO(out.getvalue()))
    return out.getvalue(), list(pixels.encoded_frames(again))


# Width of one word of the binary value representations (PS3.5 6.2).
_WORD = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def _to_little_endian(dataset: Dataset) -> None:
    """Big-endian leftovers:

    pydicom keeps binary values as they were read, so their words are swapped here.
    """
    for element in dataset.iterall():
        if element.VR == "UN" and element.value:
            raise CodecError("A big-endian element of unknown type cannot be turned around.")
        width = _WORD.get(element.VR)
        if width and element.value and element.tag != PIXEL_DATA:
            element.value = np.frombuffer(element.value, f">u{width}").astype(f"<u{width}").tobytes()
    dataset.set_original_encoding(False, True, dataset.original_character_set)
    for element in dataset.iterall():
        if element.VR == "SQ":
            for item in element.value:
                item.set_original_encoding(False, True, item.original_character_set)
