"""Stored files on their way through this process: on disk, without a name, never in memory.

A file without a name is gone with its process, however that ends. A child opens it by the number that it has
here (proc(5), `/proc/<pid>/fd`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from imaging.child import Children
from imaging.inspection import Inspection
from imaging.orthanc import OrthancClient


@contextmanager
def nameless(directory: Path) -> Iterator[Path]:
    """An empty file on the disk of this directory, by a path that is good as long as the context."""
    with _opened(directory) as (path, _):
        yield path


@contextmanager
def _opened(directory: Path) -> Iterator[tuple[Path, BinaryIO]]:
    with tempfile.TemporaryFile(dir=directory) as file:
        yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}"), file


@asynccontextmanager
async def fetched(orthanc: OrthancClient, orthanc_id: str, directory: Path) -> AsyncIterator[Path]:
    """One stored instance as such a file. Raises OrthancError or a subclass."""
    with _opened(directory) as (path, file):
        await orthanc.fetch(orthanc_id, file)
        yield path


async def inspect_stored(
    children: Children, orthanc: OrthancClient, orthanc_id: str, directory: Path
) -> Inspection:
    """What is in a stored instance. Raises OrthancError, DICOMError, ChildDiedError and ScratchError."""
    async with fetched(orthanc, orthanc_id, directory) as path:
        return await children.inspect_file(path)
