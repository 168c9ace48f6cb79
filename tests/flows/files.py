"""DICOM files of the flows: data sets to bytes and back."""

import io
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread


def file_of(dataset: Dataset) -> bytes:
    """A data set as a PS3.10 file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def read_folder(directory: Path) -> Iterator[Dataset]:
    """Every DICOM file of a folder, in the order of their names."""
    for path in sorted(directory.glob("*.dcm")):
        yield dcmread(path)
