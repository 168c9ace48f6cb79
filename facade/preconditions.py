"""What a request's headers ask beside its address: versions, conditions, what to send back.

The same values for an HTTP request and for an entry of a Bundle.
Sources: FHIR R4 http.html (conditional read, "Managing Resource Contention", conditional create, Prefer);
RFC 9110 section 13 (If-Match, If-None-Match, If-Modified-Since), RFC 7240 (Prefer).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from facade.errors import BadRequestError

_VERSION = re.compile(r"[0-9]{1,10}", re.ASCII)
_ETAG = re.compile(r'\s*(?:W/)?"([0-9]{1,10})"\s*', re.ASCII)
_ANY_ETAG = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e]{0,64})"\s*', re.ASCII)


@dataclass(frozen=True)
class Preconditions:
    """The headers that count, as they were sent."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_none_exist: str | None = None
    idempotency_key: str | None = None
    prefer: str | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Preconditions:
        """Take them from an HTTP request; of two of a name the first counts."""
        sent = dict(reversed(list(headers.items())))  # Starlette looks through all headers for each question
        return cls(
            if_match=sent.get("if-match"),
            if_none_match=sent.get("if-none-match"),
            if_modified_since=sent.get("if-modified-since"),
            if_none_exist=sent.get("if-none-exist"),
            idempotency_key=sent.get("idempotency-key"),
            prefer=prefer_return(sent.get("prefer")),
        )

    @property
    def is_conditional_read(self) -> bool:
        """Whether a read may be answered with 304."""
        return self.if_none_match is not None or self.if_modified_since is not None


def version_seen(header: str | None, body: Any) -> str | None:
    """Return the version that the caller has seen: If-Match, else the body's meta.versionId, else None."""
    if header is not None:
        match = _ETAG.fullmatch(header)
        if match is None:
            raise BadRequestError('If-Match is written W/"1"')
        return match.group(1)
    meta = body.get("meta") if isinstance(body, dict) else None
    version = meta.get("versionId") if isinstance(meta, dict) else None
    if version is None:
        return None
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise BadRequestError("meta.versionId is not a version of this server")
    return version


def is_unchanged(conditions: Preconditions, resource: Mapping[str, Any]) -> bool:
    """Whether the caller has this version already; If-None-Match wins over If-Modified-Since."""
    meta = resource.get("meta", {})
    if conditions.if_none_match is not None:
        tags = conditions.if_none_match.split(",")
        if [tag.strip() for tag in tags] == ["*"]:
            return True
        found = [_ANY_ETAG.fullmatch(tag) for tag in tags]
        if not all(found):
            raise BadRequestError('If-None-Match is written W/"1"')
        return any(match and match.group(1) == meta.get("versionId") for match in found)
    if conditions.if_modified_since is None or "lastUpdated" not in meta:
        return False
    try:
        since = parsedate_to_datetime(conditions.if_modified_since)
    except ValueError:
        return False  # RFC 9110 section 13.1.3: an invalid date is ignored
    changed = datetime.fromisoformat(meta["lastUpdated"]).astimezone(UTC).replace(microsecond=0)
    return changed <= (since if since.tzinfo else since.replace(tzinfo=UTC))


def prefer_return(header: str | None) -> str | None:
    """Return what `Prefer: return=` asks for."""
    for part in (header or "").replace(",", ";").split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() == "return" and value in ("minimal", "representation", "OperationOutcome"):
            return value
    return None


def is_lenient(header: str | None) -> bool:
    """Whether `Prefer: handling=lenient` was sent."""
    return "handling=lenient" in (header or "").replace(" ", "")
