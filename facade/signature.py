"""What a signature stands for: a manifest of exact versions, canonical and signed; built here, checked here.

Manifest: type, id, version and SHA-256 of the canonical JSON (RFC 8785) of each resource without meta and
narrative (meta.lastUpdated is known only after storing; the version stands in the manifest itself), and the
UIDs of the segmentation. Signature: detached JWS (RFC 7515 appendix F), made by `smart_auth.keys.ReportKey`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import rfc8785

from facade import exact, names


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
    """Return the UIDs of the DICOM objects that a Task names as its output."""
    found = set()
    for output in task.get("output", []):
        identifier = output.get("valueIdentifier", {})
        if identifier.get("system") == names.DICOM_UID:
            found.add(str(identifier.get("value", "")).removeprefix("urn:oid:"))
    return sorted(found)
