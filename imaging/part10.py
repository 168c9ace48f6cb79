"""One PS3.10 file, whatever its size: the header is read, large values stay in the file.

The pixel data are a file of their own within it (`Range`), read frame by frame. A deflated file is inflated
to a file without a name, so that everything after works on ranges; what inflates beyond the largest upload is
refused. Sources: PS3.10 7.1, PS3.5 7.1.2, A.4, A.5 (deflate).
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import DataElement, Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError

from imaging.errors import DICOMError
from imaging.file_meta import meta_as, meta_end, transfer_syntax
from imaging.frames import EXPLICIT_LE

PIXEL_DATA = 0x7FE00010
DEFLATED = "1.2.840.10008.1.2.1.99"
UNDEFINED = 0xFFFFFFFF
PIECE = 1 << 20
# Values over this stay in the file.
LARGE = 1 << 20
_MOST_INFLATED = 2 << 30
# Of implicit files pydicom says what its dictionary does.
_PIXEL_VRS = frozenset({None, "OB", "OW", "UN", "OB or OW"})
_ITEM, _DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


class _RawRange(io.RawIOBase):
    def __init__(self, descriptor: int, start: int, length: int) -> None:
        self._descriptor, self._start, self._length, self._at = descriptor, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if origin + offset < 0:
            raise ValueError("a position before the beginning")
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._length - self._at))
        if wanted == 0:
            return 0
        count = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._start + self._at)
        self._at += count
        return count


class _Nameless:
    """A file that nobody else knows; it ends with the last range of it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)


class Range(io.BufferedIOBase):
    """Bytes of an open file as a file of their own; other ranges of that file have other positions."""

    def __init__(self, file: BinaryIO | _Nameless, start: int = 0, length: int | None = None) -> None:
        """:param file: stays open as long as this is used; a range keeps it open"""
        self._file = file
        self._start = start
        self.length = os.fstat(file.fileno()).st_size - start if length is None else length
        self._inner = io.BufferedReader(_RawRange(file.fileno(), start, self.length), 1 << 16)

    def part(self, start: int, length: int) -> Range:
        """A range within this one, at its beginning."""
        return Range(self._file, self._start + start, max(0, min(length, self.length - start)))

    def again(self) -> Range:
        """The same bytes from the beginning."""
        return self.part(0, self.length)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        # A length that lies would be allocated before anything is read.
        left = max(0, self.length - self._inner.tell())
        return self._inner.read(left if size is None or size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def pieces(self) -> Iterator[bytes]:
        """All of it from the beginning, a piece at a time."""
        self.seek(0)
        while piece := self.read(PIECE):
            yield piece

    def sha256(self) -> str:
        """Hexadecimal digest of all of it."""
        found = hashlib.sha256()
        for piece in self.pieces():
            found.update(piece)
        return found.hexdigest()


@contextmanager
def opened(path: Path | str, start: int = 0, length: int | None = None) -> Iterator[Range]:
    """A file, or what lies within another one. DICOMError if it ends before it should."""
    with open(path, "rb") as file:
        if length is not None and os.fstat(file.fileno()).st_size < start + length:
            raise DICOMError("The part is shorter than it should be.")
        yield Range(file, start, length)


def in_memory(data: bytes) -> Range:
    """Bytes that are in memory anyway."""
    file = _Nameless(os.memfd_create("part10"))
    with open(file.fileno(), "wb", closefd=False) as written:
        written.write(data)
    return Range(file)


@dataclass(frozen=True)
class Part10:
    """A parsed file. `dataset` reads from `file` on demand; its PixelData is a Range, of a small file bytes.

    `syntax`: as the file says. A deflated one lies inflated in `file`, and `dataset` is Explicit VR Little
    Endian.
    """

    file: Range
    dataset: Dataset
    syntax: str
    pixels: RawDataElement | None
    """Where the pixel data lie in `file`: `value_tell`, `length` (0xFFFFFFFF: encapsulated)."""
    pixels_length: int = 0
    """Bytes of their value, without the delimiter of items."""

    @property
    def pixels_end(self) -> int:
        """Where what follows the pixel data begins."""
        if self.pixels is None:
            return self.file.length
        is_undefined = self.pixels.length == UNDEFINED
        return int(self.pixels.value_tell) + self.pixels_length + (8 if is_undefined else 0)


def parse(file: Range) -> Part10:
    """Read the header. DICOMError if it is no DICOM file or its pixel data have no sense."""
    syntax = transfer_syntax(file.read(4096))
    file.seek(0)
    if syntax == DEFLATED:
        file = _inflated(file)
    try:
        # pydicom asks for a few bytes at a time, which is fastest in memory; a small file fits.
        dataset = dcmread(file if file.length > LARGE else io.BytesIO(file.read()), defer_size=LARGE)
    except InvalidDicomError as error:
        raise DICOMError("This is not a DICOM file.") from error
    syntax = syntax or str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if PIXEL_DATA not in dataset:
        return Part10(file, dataset, syntax, None)
    raw = dataset.get_item(PIXEL_DATA, keep_deferred=True)
    if not isinstance(raw, RawDataElement) or raw.VR not in _PIXEL_VRS:
        raise DICOMError("The pixel data have a type that they cannot have.")
    if raw.length != UNDEFINED:
        length = raw.length
    else:
        length = _items_length(file, raw.value_tell) if raw.value is None else len(raw.value)
    vr = raw.VR if raw.VR in ("OB", "OW") else ("OB" if raw.length == UNDEFINED else "OW")
    value = file.part(raw.value_tell, length) if raw.value is None else raw.value
    is_undefined = raw.length == UNDEFINED
    dataset[PIXEL_DATA] = DataElement(PIXEL_DATA, vr, value, is_undefined_length=is_undefined)
    return Part10(file, dataset, syntax, raw, length)


def _items_length(file: Range, start: int) -> int:
    """Bytes of encapsulated pixel data before their delimiter (PS3.5 A.4)."""
    at = start
    while True:
        file.seek(at)
        head = file.read(8)
        if head[:4] == _DELIMITER:
            return at - start
        length = int.from_bytes(head[4:], "little")
        if len(head) < 8 or head[:4] != _ITEM or length == UNDEFINED:
            raise DICOMError("The items of the pixel data do not follow one another.")
        at += 8 + length


def _inflated(file: Range) -> Range:
    """The same file as Explicit VR Little Endian, in a temporary file without a name."""
    head = file.read(1 << 16)
    with tempfile.TemporaryFile() as target:
        target.write(head[:128] + meta_as(head, EXPLICIT_LE))
        file.seek(meta_end(head))
        try:
            _inflate(file, target)
        except zlib.error as error:
            raise DICOMError("The deflated data set cannot be read.") from error
        target.flush()
        return Range(_Nameless(os.dup(target.fileno())))


def _inflate(file: Range, target: BinaryIO) -> None:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    while not engine.eof and (piece := engine.unconsumed_tail or file.read(PIECE)):
        target.write(engine.decompress(piece, PIECE))
        if target.tell() > _MOST_INFLATED:
            raise DICOMError("The deflated data set is too large.")
    target.write(engine.flush())
    if not engine.eof:
        raise DICOMError("The file is truncated within the deflated data set.")
