"""One DICOM instance as Explicit VR Little Endian: what a client gets that names no transfer syntax.

Runs in a child without secrets (imaging.child), a frame at a time. Lossless images give the pixels that were
received. A lossy image stays one: its bytes are decompressed, LossyImageCompression and its ratio and method
stay, and are set where a syntax that is always lossy says nothing.
Sources: PS3.18 8.7.3.5.2 (the default), PS3.3 C.7.6.1.1.5 (lossy), C.7.6.3 (colour), PS3.5 8.2.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from pydicom import Dataset

from imaging import part10, pixels
from imaging.errors import CodecError
from imaging.frames import EXPLICIT_LE
from imaging.part10 import PIECE, PIXEL_DATA, Part10, Range
from imaging.rewrite import Rewrite, write_native

# JPEG baseline and extended: no lossless form of them exists (PS3.6 table A-1).
_ALWAYS_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})


def to_explicit(file: Range, target: BinaryIO) -> str:
    """Write a file anew into `target` (empty); the digest of its pixels, or empty text if it has none.

    Raises CodecError where the pixels cannot be decoded, DICOMError for what is no DICOM file.
    """
    source = part10.parse(file)
    if PIXEL_DATA not in source.dataset:
        whole = Rewrite(source, target, {})
        whole.begin(EXPLICIT_LE)
        whole.end()
        return ""
    if source.dataset.get("BitsAllocated") == 1:
        return _packed_bits(source, target)
    return _decoded(source, target)


def _decoded(source: Part10, target: BinaryIO) -> str:
    dataset, digest = source.dataset, pixels.Digest()
    decoded = pixels.frames(dataset)
    first = next(decoded)
    whole = Rewrite(source, target, _changes(dataset, source.syntax, first[1]))
    whole.begin(EXPLICIT_LE)

    def frames() -> Any:
        for frame, colour in chain([first], decoded):
            if colour != first[1]:
                raise CodecError("The frames have several colour spaces.")
            digest.add(frame)
            yield frame

    length = first[0].nbytes * pixels.frame_count(dataset)
    write_native(target, frames(), length, wide=int(dataset.BitsAllocated) > 8)
    whole.end()
    target.flush()
    return digest.text()


def _packed_bits(source: Part10, target: BinaryIO) -> str:
    if source.syntax not in pixels.NATIVE:
        raise CodecError("Bit-packed pixels in frames are not unpacked.")
    value, length = pixels.value(source.dataset)
    whole = Rewrite(source, target, {})
    whole.begin(EXPLICIT_LE)
    write_native(target, iter(partial(value.read, PIECE), b""), length, wide=False)
    whole.end()
    target.flush()
    return pixels.digest(source.dataset)


def _changes(dataset: Dataset, syntax: str, colour: str) -> dict[str, Any]:
    """Elements that say how pixels are stored, as they are stored now."""
    changes: dict[str, Any] = {}
    if int(dataset.SamplesPerPixel) > 1:
        # Decoding gives every sample of every pixel.
        full = "YBR_FULL" if colour.endswith(("_422", "_420")) else colour
        changes = {"PlanarConfiguration": 0, "PhotometricInterpretation": full}
    if syntax in _ALWAYS_LOSSY and not dataset.get("LossyImageCompression"):
        changes["LossyImageCompression"] = "01"
    return changes
