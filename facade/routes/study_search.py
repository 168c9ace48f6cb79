"""The keys of a QIDO-RS search that HAPI matches: a search of ImagingStudy that loses no study.

What HAPI matches alone is not matched again: a patient's number and name are those of the record, which may
hold more of them than the images do. Days are searched one wider, because HAPI compares in UTC.
Sources: FHIR R4 ImagingStudy search parameters; PS3.4 C.2.2.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta

from facade.errors import BadRequestError
from facade.identify import token
from facade.routes.query import Query
from imaging import names
from imaging.index import Index
from imaging.matching import has_wildcard
from imaging.study import study_identifier

_LIST = re.compile(r"[,\\]")
_NEVER = "-"  # no id of HAPI


def decided(asked: Query) -> frozenset[str]:
    """Keywords of the keys that HAPI alone decides; the others are matched on the images' elements."""
    return frozenset(
        key.keyword
        for key, value in asked.keys.items()
        if (key.keyword in ("StudyInstanceUID", "PatientID", "AccessionNumber") and not has_wildcard(value))
        or (key.keyword == "PatientName" and _name_parts(value) is not None)
    )


def exact(asked: Query) -> bool:
    """Does HAPI alone decide which studies are found?"""
    return {key.keyword for key in asked.keys} <= decided(asked)


def narrowed(index: Index, asked: Query) -> list[tuple[str, str]]:
    """A search that finds every study that the query may mean."""
    found: list[tuple[str, str]] = []
    for key, value in asked.keys.items():
        match key.keyword:
            case "StudyInstanceUID":
                found.append(_studies(_LIST.split(value)))
            case "SeriesInstanceUID":
                found.append(_studies(index.study_uids(series=_LIST.split(value))))
            case "SOPInstanceUID":
                found.append(_studies(index.study_uids(instances=_LIST.split(value))))
            case "AccessionNumber" if not has_wildcard(value):
                found.append(("identifier", token(names.ACCESSION, value)))
            case "PatientID" if not has_wildcard(value):
                found.append(("patient.identifier", token(None, value)))
            case "PatientName":
                for part in _name_parts(value) or []:
                    found.append(("patient.name", part.replace("\\", "\\\\").replace(",", "\\,")))
            case "StudyDate":
                found += _days(value)
            case "ModalitiesInStudy" | "Modality" if not has_wildcard(value):
                found.append(("modality", ",".join(token(names.DCM, code) for code in _LIST.split(value))))
    return found


def _studies(uids: Iterable[str]) -> tuple[str, str]:
    known = ",".join(study_identifier(uid) for uid in uids)
    return ("identifier", known) if known else ("_id", _NEVER)


def _name_parts(value: str) -> list[str] | None:
    """PatientName as HAPI matches it, by the beginning of each part of a name; None where it cannot:

    with a wildcard elsewhere than at the end of a part.
    """
    parts = [part.removesuffix("*") for part in re.split(r"[\^=\s]+", value) if part]
    return parts if all(part and not has_wildcard(part) for part in parts) else None


def _days(value: str) -> list[tuple[str, str]]:
    start, dash, end = value.partition("-")
    end = end if dash else start
    found = []
    for prefix, text, wider in (("ge", start, -1), ("le", end, 1)):
        if text:
            try:
                day = date(int(text[:4]), int(text[4:6]), int(text[6:])) + timedelta(days=wider)
            except (ValueError, OverflowError) as error:
                raise BadRequestError("StudyDate") from error
            found.append(("started", f"{prefix}{day:%Y-%m-%d}"))
    return found
