"""Owns the result key: what makes two AI results the same result, and the UIDs that follow from it.

Source of the UIDs: DICOM PS3.5 B.2 (2.25 and the decimal of a UUID); UUIDs of version 5, RFC 9562 5.5.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable

from inference.bundle import Bundle

_NAMESPACE = uuid.UUID("0f2a7d54-3b0b-5d54-8b55-0d5d0a9f6a3e")
_FORM = "neuronova-ai-result-1"
"""Changes when the same inputs must give a new result."""


def result_key(
    bundle: Bundle, study_uid: str, instances: Iterable[tuple[str, str]], correction: str | None = None
) -> str:
    """SHA-256 (hex) over study, sorted (SOP Instance UID, pixel digest) of the selected series, and the
    bundle.

    `correction`: the newest correction of whose study it is; results before and after it are never the same.
    """
    content = [
        _FORM,
        study_uid,
        sorted([uid, digest] for uid, digest in instances),
        [bundle.id, bundle.weights_sha256, bundle.configuration_sha256],
        *([correction] if correction else []),
    ]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def derived_uid(key: str, purpose: str) -> str:
    """The DICOM UID that this result has for `purpose`; the same result always has the same."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, f'{key}/{purpose}').int}"
