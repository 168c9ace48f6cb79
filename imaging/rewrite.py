"""The same instance around pixel data in another form: what is before and after them, and their envelope.

Where the source is Explicit VR Little Endian its own bytes are copied (the splice), else the elements are
written anew by pydicom. Frames are written one at a time; offsets are put in when all are known.
Sources: PS3.10 7.1; PS3.5 7.1.2, A.4 (encapsulation, extended offset table), 6.2 (words).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import dcmwrite, write_dataset

from imaging.errors import CodecError
from imaging.file_meta import meta_as, meta_end
from imaging.frames import EXPLICIT_LE
from imaging.part10 import PIXEL_DATA, Part10

_OFFSETS, _LENGTHS = 0x7FE00001, 0x7FE00002
_OFFSET_TABLES = frozenset({_OFFSETS, _LENGTHS})
_ITEM = b"\xfe\xff\x00\xe0"
_DELIMITER = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_MOST_NATIVE = 0xFFFFFFFE
# Width of one word of the binary value representations (PS3.5 6.2).
_WORD = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


class Rewrite:
    """Writes one instance anew: `begin`, the pixel data, `end`."""

    def __init__(self, source: Part10, target: BinaryIO, changes: Mapping[str, Any]) -> None:
        """:param changes: values of elements, by keyword, that belong to the new form (none: the splice)"""
        self._source, self._target, self._changes = source, target, changes
        syntax = str(source.dataset.file_meta.TransferSyntaxUID)
        raw = source.pixels
        self.is_spliced = (
            syntax == EXPLICIT_LE
            and not changes
            and raw is not None
            and raw.VR in ("OB", "OW")
            and not _OFFSET_TABLES & set(source.dataset.keys())
        )

    def begin(self, syntax: str) -> None:
        """All that comes before the pixel data."""
        if self.is_spliced:
            file = self._source.file
            # Explicit VR: tag 4, VR 2, reserved 2, length 4 (PS3.5 7.1.2).
            pixels_at = self._source.pixels.value_tell - 12  # type: ignore[union-attr]
            file.seek(0)
            head = file.read(min(pixels_at, 1 << 16))
            self._target.write(head[:128] + meta_as(head, syntax))
            start = meta_end(head)
            self._copy(start, pixels_at)
            return
        dataset = self._part(lambda tag: tag < PIXEL_DATA and tag not in _OFFSET_TABLES)
        for keyword, value in self._changes.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.TransferSyntaxUID = syntax
        try:
            dcmwrite(self._target, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)
        except Exception as error:
            raise CodecError(f"The header could not be written ({type(error).__name__}).") from error

    def end(self) -> None:
        """All that comes after them."""
        self._target.seek(0, os.SEEK_END)
        if self.is_spliced:
            self._copy(self._source.pixels_end, self._source.file.length)
            return
        out = DicomFileLike(self._target)
        out.is_little_endian, out.is_implicit_VR = True, False
        try:
            write_dataset(out, self._part(lambda tag: tag > PIXEL_DATA))
        except Exception as error:
            raise CodecError(f"The header could not be written ({type(error).__name__}).") from error

    def _copy(self, start: int, end: int) -> None:
        for piece in self._source.file.part(start, end - start).pieces():
            self._target.write(piece)

    def _part(self, belongs: Any) -> FileDataset:
        source = self._source.dataset
        part = FileDataset(self._source.file, {}, source.preamble, source.file_meta)
        implicit, little = source.original_encoding
        part.set_original_encoding(bool(implicit), little is not False, source.original_character_set)
        for tag in source.keys():  # noqa: SIM118 - iterating it would convert every element
            if belongs(int(tag)) and int(tag) >> 16 != 0x0002:
                part[tag] = source.get_item(tag, keep_deferred=True)
        if little is False:
            _to_little_endian(part)
        return part


def write_native(target: BinaryIO, frames: Iterable[Any], length: int, *, wide: bool) -> None:
    """The pixel data of Explicit VR Little Endian, of arrays or bytes. CodecError if they are too long."""
    if length > _MOST_NATIVE:
        raise CodecError("The pixel data are too large for an uncompressed file.")
    padded = length + length % 2
    target.write(b"\xe0\x7f\x10\x00" + (b"OW" if wide else b"OB") + b"\0\0" + struct.pack("<I", padded))
    for frame in frames:
        target.write(frame if isinstance(frame, bytes) else np.ascontiguousarray(frame).data)
    target.write(b"\0" * (length % 2))


class Encapsulated:
    """Encapsulated pixel data: one fragment per frame; several frames get the extended offset table."""

    def __init__(self, target: BinaryIO, count: int) -> None:
        self._target, self._count = target, count
        self._lengths: list[int] = []
        self._tables_at = target.tell()
        if count > 1:
            for tag in (b"\xe0\x7f\x01\x00", b"\xe0\x7f\x02\x00"):
                target.write(tag + b"OV\0\0" + struct.pack("<I", 8 * count) + bytes(8 * count))
        target.write(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff")
        self.value_at = target.tell()
        target.write(_ITEM + bytes(4))

    def add(self, stream: bytes) -> bytes:
        """Write one frame; returns it as it is stored (of even length)."""
        padded = stream + b"\0" * (len(stream) % 2)
        self._target.write(_ITEM + struct.pack("<I", len(padded)) + padded)
        self._lengths.append(len(padded))
        return padded

    def finish(self) -> tuple[bytes, bytes] | None:
        """End the element and fill the tables in; they are returned if there are any."""
        if len(self._lengths) != self._count:
            raise CodecError("The number of frames is not the one that the header says.")
        self.length = self._target.tell() - self.value_at
        self._target.write(_DELIMITER)
        if self._count == 1:
            return None
        lengths = np.array(self._lengths, "<u8")
        offsets = np.concatenate([[0], np.cumsum(lengths + 8)[:-1]]).astype("<u8")
        for number, table in enumerate((offsets, lengths)):
            self._target.seek(self._tables_at + 12 + number * (12 + 8 * self._count))
            self._target.write(table.tobytes())
        self._target.seek(0, os.SEEK_END)
        return offsets.tobytes(), lengths.tobytes()


def _to_little_endian(dataset: Dataset) -> None:
    """Big-endian leftovers: pydicom keeps binary values as they were read, so their words are swapped."""
    for element in dataset.iterall():
        if element.VR == "UN" and element.value:
            raise CodecError("A big-endian element of unknown type cannot be turned around.")
        width = _WORD.get(element.VR)
        if width and element.value:
            element.value = np.frombuffer(element.value, f">u{width}").astype(f"<u{width}").tobytes()
    dataset.set_original_encoding(False, True, dataset.original_character_set)
    for element in dataset.iterall():
        if element.VR == "SQ":
            for item in element.value:
                item.set_original_encoding(False, True, item.original_character_set)
