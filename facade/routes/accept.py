"""Which form of a frame or instance a client takes: PS3.18 8.7, over what is stored and what `pixels` can
make.

Sources: PS3.18 8.7.3 to 8.7.5 and table 8.7.3-5 (media types), RFC 9110 12.5.1 (Accept), RFC 2387
(multipart/related).
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from typing import Literal

from facade.errors import BadRequestError, NotAcceptableError
from imaging.display import MEDIA_TYPES
from imaging.frames import EXPLICIT_LE, MEDIA_TYPE, NATIVE_LE

_MOST_RANGES = 30
_ANY = frozenset({"*/*", "application/*", "image/*"})


@dataclass(frozen=True)
class Range:
    """One entry of an Accept header. `media_type` is the parts' when `is_multipart`."""

    media_type: str
    transfer_syntax: str | None
    is_multipart: bool
    quality: float


@dataclass(frozen=True)
class Form:
    """The form to answer in: the stored bytes or decoded ones, bare or in an envelope."""

    syntax: Literal["stored", "native"]
    is_multipart: bool
    transfer_syntax: str


def ranges(header: str | None) -> list[Range]:
    """The Accept header, best first; everything if there is none. BadRequestError if it cannot be read."""
    found = []
    for text in _split(header or "*/*"):
        message = Message()
        message["Content-Type"] = text
        kind = message.get_content_type() if "/" in text.partition(";")[0] else ""
        try:
            quality = float(str(message.get_param("q", "1")))
        except ValueError:
            quality = -1.0
        if not kind or not 0 <= quality <= 1:
            raise BadRequestError("Accept")
        # `*` in place of a type: Message reads nothing else wrong that a client of DICOMweb sends.
        kind = text.partition(";")[0].strip().lower()
        syntax = _parameter(message, "transfer-syntax")
        if kind == "multipart/related":
            part = _parameter(message, "type") or "application/octet-stream"
            found.append(Range(part.lower(), syntax, True, quality))
        else:
            found.append(Range(kind, syntax, False, quality))
    return sorted((one for one in found if one.quality > 0), key=lambda one: -one.quality)


def frame_form(header: str | None, stored: str, *, several: bool) -> Form:
    """How frames stored in this transfer syntax are answered.

    A client that asks for `multipart/related` gets it; several frames need it. `application/octet-stream`
    without a transfer syntax is Explicit VR Little Endian (PS3.18 8.7.3.3.2). NotAcceptableError if nothing
    fits.
    """
    kind = MEDIA_TYPE.get(stored)
    label = EXPLICIT_LE if stored in NATIVE_LE else stored
    # Big-endian and deflated originals have no form of their own in PS3.18: they are decoded.
    is_servable = kind is not None or label == EXPLICIT_LE
    for wanted in ranges(header):
        is_multipart = wanted.is_multipart or (several and wanted.media_type == "*/*")
        if several and not is_multipart:
            continue
        if is_servable and _takes_stored(wanted, kind, label):
            return Form("stored", is_multipart, label)
        takes_native = wanted.transfer_syntax in (None, EXPLICIT_LE) or (
            wanted.transfer_syntax == "*" and not is_servable
        )
        if takes_native and wanted.media_type in ("application/octet-stream", "*/*"):
            return Form("native", is_multipart, EXPLICIT_LE)
    raise NotAcceptableError("Accept")


def _takes_stored(wanted: Range, kind: str | None, label: str) -> bool:
    if wanted.transfer_syntax not in (None, "*", label):
        return False
    if wanted.media_type == "*/*":
        return True
    if wanted.media_type == "application/octet-stream":
        # Compressed frames carry this type for a client that names their syntax or takes any.
        return wanted.transfer_syntax is not None or kind is None
    return kind is not None and wanted.media_type in (kind, "image/*")


def instance_form(header: str | None, stored: str, *, several: bool = False) -> Form:
    """How a whole instance stored in this transfer syntax goes out: multipart (the default of PS3.18 10.4) or
    bare `application/dicom`.

    Without a transfer syntax it is Explicit VR Little Endian (8.7.3.5.2); the stored one is had by its name
    or by `*`. NotAcceptableError if neither is taken.

    :param several: only multipart will do
    """
    for wanted in ranges(header):
        is_multipart = wanted.is_multipart or wanted.media_type == "*/*"
        if wanted.media_type not in ("application/dicom", "application/*", "*/*"):
            continue
        if several and not is_multipart:
            continue
        if wanted.transfer_syntax in ("*", stored) or stored == EXPLICIT_LE:
            if wanted.transfer_syntax in (None, "*", stored):
                return Form("stored", is_multipart, stored)
        elif wanted.transfer_syntax in (None, EXPLICIT_LE):
            return Form("native", is_multipart, EXPLICIT_LE)
    raise NotAcceptableError("Accept")


def octets_are_multipart(header: str | None) -> bool:
    """Whether a bulk value goes out as multipart or bare; NotAcceptableError if its bytes are not taken."""
    for wanted in ranges(header):
        if wanted.transfer_syntax not in (None, "*", EXPLICIT_LE):
            continue
        if wanted.media_type in ("application/octet-stream", "application/*", "*/*"):
            return wanted.is_multipart
    raise NotAcceptableError("Accept")


def picture_form(header: str | None, *, several: bool) -> tuple[str, bool]:
    """Media type of rendered images, and whether in an envelope, which several images need (PS3.18 8.7.4)."""
    for wanted in ranges(header):
        is_multipart = wanted.is_multipart or (several and wanted.media_type in _ANY)
        if several and not is_multipart:
            continue
        if wanted.is_multipart and wanted.media_type == "application/octet-stream":
            continue  # what a missing type means elsewhere: no picture
        if wanted.media_type in ("*/*", "image/*"):
            return MEDIA_TYPES[0], is_multipart
        if wanted.media_type in MEDIA_TYPES:
            return wanted.media_type, is_multipart
    raise NotAcceptableError("Accept")


def takes_json(header: str | None) -> None:
    """NotAcceptableError unless DICOM JSON is taken."""
    kinds = {wanted.media_type for wanted in ranges(header) if not wanted.is_multipart}
    if not kinds & {"application/dicom+json", "application/json", *_ANY}:
        raise NotAcceptableError("Accept")


def _split(header: str) -> list[str]:
    """Entries of a list; commas within quotes belong to their entry."""
    found, quoted, current = [], False, ""
    for character in header:
        if character == '"':
            quoted = not quoted
        if character == "," and not quoted:
            found.append(current)
            current = ""
        else:
            current += character
    entries = [entry.strip() for entry in (*found, current) if entry.strip()]
    if len(entries) > _MOST_RANGES:
        raise BadRequestError("Accept")
    return entries


def _parameter(message: Message, name: str) -> str | None:
    value = message.get_param(name)
    return value.strip() if isinstance(value, str) else None
