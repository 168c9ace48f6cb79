"""Parsing and codecs run in children that have no secrets: a crash or a trick in a file ends there.

The parent starts `python -m imaging.child` with a cleaned environment, talks to it over its standard input
and output (each message: length, JSON header, then binary parts) and starts a new one when it dies or is too
slow. That is the error ChildDiedError: an outcome of this one instance, never the end of the worker. A child
ends with its parent and has a limit on memory. Several children work in parallel; each does one thing at a
time.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from imaging.errors import ChildDiedError, DICOMError, GeometryError, ImagingError, ScratchError
from imaging.inspection import Inspection

_LENGTHS = struct.Struct("<IQ")  # bytes of the header, number of parts
_PART = struct.Struct("<Q")
_PR_SET_PDEATHSIG = 1  # prctl(2)
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR")
# Nothing here multiplies matrices, and OpenBLAS's threads cost a child 0.1 s of its start.
_GIVEN = {"OPENBLAS_NUM_THREADS": "1"}
_ERRORS: dict[str, type[ImagingError]] = {
    "dicom": DICOMError,
    "geometry": GeometryError,
    "disk": ScratchError,
}
# The slowest that reading and converting may be: a large file has that much more time.
_SLOWEST_BYTES_PER_S = 5 << 20


@dataclass(frozen=True)
class Reply:
    """What a child answers."""

    header: dict[str, Any]
    parts: list[bytes]


class Children:
    """A pool of children, as an async context manager; they start when they are first needed."""

    def __init__(self, count: int = 2, *, timeout_s: float = 120, memory_bytes: int = 6 << 30) -> None:
        # The last one first: it is warm, and a second one starts only for work beside it.
        self._idle: asyncio.LifoQueue[_Child] = asyncio.LifoQueue()
        self._all = [_Child(memory_bytes) for _ in range(count)]
        self._timeout_s = timeout_s
        for child in self._all:
            self._idle.put_nowait(child)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in self._all:
            await child.stop()

    async def call(self, task: str, header: dict[str, Any], *parts: bytes, size: int = 0) -> Reply:
        """Let a child do one task. Raises ChildDiedError, or the error that the task ended with.

        :param size: bytes of the files that the header names; many have more time
        """
        child = await self._idle.get()
        try:
            async with asyncio.timeout(self._timeout_s + size / _SLOWEST_BYTES_PER_S):
                reply = await child.ask({"task": task, **header}, parts)
        except BaseException as error:  # cancelled too: a child in the middle of a task is never used again
            await child.stop()
            if isinstance(error, TimeoutError | asyncio.IncompleteReadError | OSError):
                raise ChildDiedError(
                    "The child that read this instance ended in the middle of it."
                ) from error
            raise
        finally:
            self._idle.put_nowait(child)
        failed = reply.header.get("error")
        if failed:
            raise _ERRORS.get(failed, DICOMError)(reply.header["text"])
        return reply

    async def inspect(self, data: bytes) -> Inspection:
        """Read one small file that is in memory (imaging.read). Raises DICOMError."""
        return Inspection.from_json((await self.call("inspect", {}, data)).parts[0])

    async def inspect_part(self, path: Path, start: int, length: int) -> Inspection:
        """Read a file that lies within another one (a part of a spooled upload)."""
        where = {"path": str(path), "start": start, "length": length}
        return Inspection.from_json((await self.call("inspect-part", where, size=length)).parts[0])

    async def inspect_file(self, path: Path) -> Inspection:
        """Read a file of any size."""
        return await self.inspect_part(path, 0, size_of(path))

    async def transcode(self, path: Path, target: Path) -> dict[str, Any]:
        """Convert a file into an empty one (imaging.transcode): the fields of its Transcoded."""
        header = {"path": str(path), "target": str(target)}
        return (await self.call("transcode", header, size=size_of(path))).header

    async def second_digest(self, path: Path) -> str:
        """The digest of a file's pixels by the second decoder (imaging.transcode)."""
        return str((await self.call("verify", {"path": str(path)}, size=size_of(path))).header["digest"])

    async def to_explicit(self, path: Path, target: Path) -> str:
        """Write a file as Explicit VR Little Endian into an empty one (imaging.native): its digest."""
        header = {"path": str(path), "target": str(target)}
        return str((await self.call("to-explicit", header, size=size_of(path))).header["digest"])


def size_of(path: Path) -> int:
    """Bytes of a file on the local disk: not worth a thread."""
    return path.stat().st_size


class _Child:
    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, header: dict[str, Any], parts: Sequence[bytes]) -> Reply:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "imaging.child",
                str(self._memory_bytes),
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_GIVEN | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                cwd=Path(__file__).parent.parent,
            )
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        if pipe_in is None or pipe_out is None:
            raise OSError("the child has no pipes")
        text = json.dumps(header).encode()
        pipe_in.write(_LENGTHS.pack(len(text), len(parts)) + text)
        for part in parts:
            pipe_in.write(_PART.pack(len(part)))
            pipe_in.write(part)
            await pipe_in.drain()
        length, count = _LENGTHS.unpack(await pipe_out.readexactly(_LENGTHS.size))
        answer = json.loads(await pipe_out.readexactly(length))
        received = []
        for _ in range(count):
            (size,) = _PART.unpack(await pipe_out.readexactly(_PART.size))
            received.append(await pipe_out.readexactly(size))
        return Reply(answer, received)

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()


# --- the child's side ---------------------------------------------------------------------------


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    from imaging.child_tasks import run  # heavy imports belong to the child alone

    while head := requests.read(_LENGTHS.size):
        length, count = _LENGTHS.unpack(head)
        header = json.loads(requests.read(length))
        parts = []
        for _ in range(count):
            (size,) = _PART.unpack(requests.read(_PART.size))
            parts.append(requests.read(size))
        try:
            answer, results = run(header, parts)
        except GeometryError as error:
            answer, results = {"error": "geometry", "text": str(error)}, []
        except ImagingError as error:
            answer, results = {"error": "dicom", "text": str(error)}, []
        except OSError as error:
            kind = "disk" if error.errno in ScratchError.numbers else "dicom"
            answer, results = {"error": kind, "text": f"Not read or written ({type(error).__name__})."}, []
        except (Exception, MemoryError) as error:  # noqa: BLE001 - whatever a file provokes is an answer, not an end
            answer, results = {"error": "dicom", "text": f"Unreadable ({type(error).__name__})."}, []
        text = json.dumps(answer).encode()
        answers.write(_LENGTHS.pack(len(text), len(results)) + text)
        for result in results:
            answers.write(_PART.pack(len(result)))
            answers.write(result)
        answers.flush()


def main() -> None:
    """Process entry."""
    memory_bytes, parent = int(sys.argv[1]), int(sys.argv[2])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before prctl
        sys.exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Answers go out on a private copy; what a codec prints must not get among them.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # pydicom repeats what it finds odd in a file, and stderr is the log.
    warnings.simplefilter("ignore")
    # pydicom would load a client for downloads, for 0.08 s: as if it were not installed.
    sys.modules["requests"] = None  # type: ignore[assignment]
    _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
