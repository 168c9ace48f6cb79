"""One frame to HTJ2K and back: lossless, in the form that transfer syntax 1.2.840.10008.1.2.4.202 asks for.

PS3.5 10.18: reversible 5/3, progression RPCL, enough decompositions for a base resolution of at most 64, TLM
present. OpenJPH (by imagecodecs) writes; OpenJPEG (by pylibjpeg-openjpeg) reads back as the second decoder.

Traps, all measured: a big-endian array is encoded with its bytes swapped, silently; three planes are taken
for one colour image; the precision written is that of the type, not of the values; OpenJPEG reads no 32 bits;
it crashes when two threads encode. Therefore: one frame per call, native order, precision set here, no
threads.
"""

from __future__ import annotations

import math
from typing import Any

import imagecodecs
import numpy as np
import openjpeg
from numpy.typing import NDArray

from imaging.errors import CodecError

# Marker segments of a codestream (ISO/IEC 15444-1 annex A).
_SOC, _SIZ, _COD, _TLM, _SOT = 0xFF4F, 0xFF51, 0xFF52, 0xFF55, 0xFF90
_RPCL, _REVERSIBLE = 2, 1
_SSIZ = 42  # offset of the first component's precision: SOC 2, SIZ marker 2, Lsiz to Csiz 38
_BASE_RESOLUTION = 64


def decompositions(rows: int, columns: int) -> int:
    """OpenJPH's usual 5, and more where the larger side would leave a base resolution over 64."""
    return max(5, math.ceil(math.log2(max(rows, columns) / _BASE_RESOLUTION)))


def encode(frame: NDArray[Any], bits_stored: int, *, colour_transform: bool = False) -> bytes:
    """One native frame, (rows, columns) or (rows, columns, 3), to a .202 codestream of this precision.

    `colour_transform`: RGB is written as YBR_RCT. Values that need more than `bits_stored` bits raise
    CodecError.
    """
    itemsize = frame.dtype.itemsize
    if frame.dtype.kind not in "iu" or itemsize > 2:
        raise CodecError("Only integer pixels of 8 or 16 bits have a second decoder.")
    native = np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("="))
    is_signed = native.dtype.kind == "i"
    full = bits_stored == itemsize * 8
    if not full:
        if colour_transform:
            raise CodecError("The colour transform is used at full precision only.")
        low = -(1 << bits_stored - 1) if is_signed else 0
        if native.min() < low or native.max() >= low + (1 << bits_stored):
            raise CodecError("Values use bits beyond BitsStored.")
        if not is_signed:
            # The level shift of an unsigned image is half of its range. Shifting here and writing a signed
            # image makes the stream that an encoder with this precision would write, but for its SIZ.
            native = (native.astype(np.int32) - (1 << bits_stored - 1)).astype(np.dtype(f"i{itemsize}"))
    stream = bytearray(
        imagecodecs.htj2k_encode(
            native,
            reversible=True,
            rgb=colour_transform,
            planar=False if native.ndim == 3 else None,
            resolutions=decompositions(*native.shape[:2]),
            tlm=True,
            tilepart=imagecodecs.HTJ2K.TILEPART.RESOLUTIONS,
        )
    )
    if not full:
        components = 1 if native.ndim == 2 else native.shape[2]
        for component in range(components):
            stream[_SSIZ + 3 * component] = (0x80 if is_signed else 0) | (bits_stored - 1)
    return bytes(stream)


def decode(stream: bytes) -> NDArray[Any]:
    """A codestream's values by OpenJPH (the fast decoder)."""
    try:
        # Without a colour transform the codec would hand out plane after plane.
        return np.asarray(imagecodecs.htj2k_decode(stream, planar=False))
    except Exception as error:  # codecs raise what they like; any of it means doubt
        raise CodecError("HTJ2K could not be decoded.") from error


def decode_second(stream: bytes) -> NDArray[Any]:
    """The same by OpenJPEG, which shares no code with the encoder."""
    try:
        return np.asarray(openjpeg.decode(stream))
    except Exception as error:  # as above: doubt keeps the original
        raise CodecError("The second decoder could not read the stream.") from error


def check_header(stream: bytes, bits_stored: int, *, signed: bool, colour_transform: bool) -> None:
    """Raise CodecError unless the main header is what .202 and this image ask for."""
    found: dict[int, bytes] = {}
    if int.from_bytes(stream[:2], "big") != _SOC:
        raise CodecError("Not a codestream.")
    position = 2
    while position + 4 <= len(stream):
        marker = int.from_bytes(stream[position : position + 2], "big")
        if marker == _SOT:
            break
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        found.setdefault(marker, stream[position + 4 : position + 2 + length])
        position += 2 + length
    if not {_SIZ, _COD, _TLM} <= found.keys():
        raise CodecError("The codestream has no SIZ, COD or TLM.")
    size, style = found[_SIZ], found[_COD]
    width, height = int.from_bytes(size[2:6], "big"), int.from_bytes(size[6:10], "big")
    precision = (0x80 if signed else 0) | (bits_stored - 1)
    if any(size[36 + 3 * index] != precision for index in range(int.from_bytes(size[34:36], "big"))):
        raise CodecError("The codestream has another precision than the image.")
    if style[1] != _RPCL or style[9] != _REVERSIBLE or bool(style[4]) != colour_transform:
        raise CodecError("The codestream has another progression, transform or colour transform.")
    if style[5] < decompositions(height, width):
        raise CodecError("The codestream has too few decompositions.")
