"""A STOW-RS upload as any DICOMweb client makes it: multipart/related with one part for each file.

Source: DICOM PS3.18 10.5 (Store Transaction).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from demo.app import Session


def _parts(files: Iterable[Path], boundary: str) -> Iterator[bytes]:
    for file in files:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        yield file.read_bytes()
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def store(session: Session, files: Iterable[Path]) -> httpx.Response:
    """POST the files to /dicom-web/studies; the body is streamed (chunked)."""
    boundary = uuid.uuid4().hex
    content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return session.request(
        "POST",
        "/dicom-web/studies",
        content=_parts(files, boundary),
        headers={"Content-Type": content_type, "Accept": "application/dicom+json"},
    )


def failures(answer: httpx.Response) -> list[dict[str, Any]]:
    """The FailedSOPSequence (0008,1198) of a STOW answer."""
    items: list[dict[str, Any]] = answer.json().get("00081198", {}).get("Value", [])
    return items


def warnings(answer: httpx.Response) -> list[dict[str, Any]]:
    """The referenced SOPs that were stored with a WarningReason (0008,1196)."""
    stored = answer.json().get("00081199", {}).get("Value", [])
    return [item for item in stored if "00081196" in item]
