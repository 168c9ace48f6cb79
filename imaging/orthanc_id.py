"""The id that Orthanc gives to an instance. Standard library only."""

from __future__ import annotations

import hashlib


def orthanc_id(patient_id: str, study_uid: str, series_uid: str, sop_uid: str) -> str:
    """SHA-1 of its four identifiers, in five groups of eight hex digits (Orthanc Book, "Orthanc
    identifiers").
    """
    text = "|".join((patient_id, study_uid, series_uid, sop_uid))
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))
