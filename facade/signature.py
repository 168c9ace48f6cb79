"""What a signature stands for: a manifest of exact versions, canonical and signed; built here, checked here.

Manifest: type, id, version and SHA-256 of the canonical JSON (RFC 8785) of each resource without meta and
narrative (meta.lastUpdated is known only after storing; the version stands in the manifest itself), and the
UIDs of the segmentation. Signature: detached JWS (RFC 7515 appendix F), made by `smart_auth.keys.ReportKey`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rfc8785

from facade import exact

_UID = re.compile(r"(?:urn:oid:)?([0-9]+(?:\.[0-9]+)+)")
_UID_LENGTH = 64


def entry(resource: Mapping[str, Any], version: str) -> dict[str, str]:
    """Return one row of the manifest."""
    content = {name: value for name, value in resource.items() if name not in ("meta", "text")}
    digest = hashlib.sha256(rfc8785.dumps(exact.plain(content))).hexdigest()
    return {
        "type": str(resource["resourceType"]),
        "id": str(resource["id"]),
        "version": version,
        "sha256": digest,
    }


def manifest(rows: Sequence[Mapping[str, str]], uids: Sequence[str]) -> bytes:
    """Return the canonical bytes that are signed."""
    ordered = sorted((dict(row) for row in rows), key=lambda row: (row["type"], row["id"]))
    canonical: bytes = rfc8785.dumps({"resources": ordered, "segmentation": sorted(uids)})
    return canonical


def version_of(resource: Mapping[str, Any]) -> str:
    """Return the stored version of a resource."""
    return str(resource.get("meta", {}).get("versionId", ""))


def segmentation_uids(task: Mapping[str, Any]) -> list[str]:
    """Return the UIDs that a Task names as its output."""
    values = [
        value
        for output in task.get("output", [])
        for name, value in output.items()
        if name.startswith("value")
    ]
    return sorted(set(_uids(values)))


def _uids(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        match = _UID.fullmatch(value)
        if match and len(match.group(1)) <= _UID_LENGTH and match.group(1).count(".") > 2:
            yield match.group(1)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            # Code systems are written as OIDs too.
            if name != "system":
                yield from _uids(item)
    elif isinstance(value, list):
        for item in value:
            yield from _uids(item)
