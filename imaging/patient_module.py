"""The DICOM Patient module as the record has it, for studies that an operator gave to a patient.

The stored files keep the header they came with. What is answered about them (metadata, QIDO) and what the
product makes of them (a SEG) must not name whoever the header names, so the metadata are written anew.
Standard library only. Sources: PS3.3 C.7.1.1 (Patient module), PS3.18 F.2 (DICOM JSON), PS3.5 6.2.1 and annex
I (person names), PS3.3 C.12.1.1.2 (Specific Character Set).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imaging import names
from imaging.index import InstanceRow
from imaging.metadata import metadata_path, write_metadata
from imaging.person_name import script

Resource = Mapping[str, Any]
# Measured at the examination on whoever lay there (PS3.3 C.7.2.2): age, size, weight.
_OF_THE_BODY = frozenset({"00101010", "00101020", "00101030"})
_GROUPS = {"latin": "Alphabetic", "han": "Ideographic", "hangul": "Phonetic"}
_SEX = {"male": "M", "female": "F", "other": "O"}


def patient_module(patient: Resource) -> dict[str, Any]:
    """DICOM JSON of a FHIR Patient: name, number, birth date and sex, as far as they are known."""
    found: dict[str, Any] = {"00100010": {"vr": "PN", "Value": [_name(patient)]}}
    number = next(
        (
            i["value"]
            for i in patient.get("identifier", [])
            if i.get("system") == names.MRN and i.get("value")
        ),
        None,
    )
    birth_date = patient.get("birthDate", "").replace("-", "")
    for tag, vr, value in (
        ("00100020", "LO", number),
        ("00100030", "DA", birth_date if len(birth_date) == 8 else None),
        ("00100040", "CS", _SEX.get(patient.get("gender", ""))),
    ):
        found[tag] = {"vr": vr, "Value": [value]} if value else {"vr": vr}
    return found


def rewrite(data_dir: Path, rows: Iterable[InstanceRow], patient: Resource) -> None:
    """Give the metadata of these instances this patient and no other; done twice it changes nothing."""
    module = patient_module(patient)
    for row in rows:
        path = metadata_path(data_dir, row.study_uid, row.series_uid, row.sop_uid)
        tags: dict[str, Any] = json.loads(path.read_bytes())
        kept = {
            tag: element for tag, element in tags.items() if not tag.startswith("0010") or tag in _OF_THE_BODY
        }
        # The values are Unicode already; what is made of them is written in UTF-8.
        utf8 = {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}
        new = dict(sorted({**kept, **module, **utf8}.items()))
        if new != tags:
            write_metadata(data_dir, row.study_uid, row.series_uid, row.sop_uid, new)


def _name(patient: Resource) -> dict[str, str]:
    written: dict[str, str] = {}
    for name in patient.get("name", []):
        given = " ".join(name.get("given", []))
        text = f"{name['family']}^{given}" if name.get("family") else str(name.get("text", "") or given)
        if text and name.get("use") != "old":
            written.setdefault(_GROUPS.get(script(text), "Alphabetic"), text.rstrip("^"))
    if written and "Alphabetic" not in written:
        # The first group is never empty: many readers show no other.
        written["Alphabetic"] = next(iter(written.values()))
    return written
