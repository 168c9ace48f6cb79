"""The attributes of QIDO-RS: what is matched and what is answered at each level. Standard library only.

Sources: PS3.18 tables 10.6.1-5 (matching), 10.6.3-3 to -5 (answers); PS3.3 C.7.1 to C.7.6 for what belongs to
patient, study and series; PS3.6 for tags, keywords and VRs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["study", "series", "instance"]
LEVELS: Final[tuple[Level, ...]] = ("study", "series", "instance")


@dataclass(frozen=True)
class Key:
    """One attribute that is matched. `tag` holds a path with dots for one within a sequence."""

    tag: str
    keyword: str
    vr: str
    level: Level


KEYS: Final = (
    Key("0020000D", "StudyInstanceUID", "UI", "study"),
    Key("00100010", "PatientName", "PN", "study"),
    Key("00100020", "PatientID", "LO", "study"),
    Key("00100030", "PatientBirthDate", "DA", "study"),
    Key("00100040", "PatientSex", "CS", "study"),
    Key("00080020", "StudyDate", "DA", "study"),
    Key("00080030", "StudyTime", "TM", "study"),
    Key("00080050", "AccessionNumber", "SH", "study"),
    Key("00080061", "ModalitiesInStudy", "CS", "study"),
    Key("00080090", "ReferringPhysicianName", "PN", "study"),
    Key("00081030", "StudyDescription", "LO", "study"),
    Key("00200010", "StudyID", "SH", "study"),
    Key("0020000E", "SeriesInstanceUID", "UI", "series"),
    Key("00080060", "Modality", "CS", "series"),
    Key("00200011", "SeriesNumber", "IS", "series"),
    Key("0008103E", "SeriesDescription", "LO", "series"),
    Key("00180015", "BodyPartExamined", "CS", "series"),
    Key("00400244", "PerformedProcedureStepStartDate", "DA", "series"),
    Key("00400245", "PerformedProcedureStepStartTime", "TM", "series"),
    Key("00400275.00400009", "RequestAttributesSequence.ScheduledProcedureStepID", "SH", "series"),
    Key("00400275.00401001", "RequestAttributesSequence.RequestedProcedureID", "SH", "series"),
    Key("00080018", "SOPInstanceUID", "UI", "instance"),
    Key("00080016", "SOPClassUID", "UI", "instance"),
    Key("00200013", "InstanceNumber", "IS", "instance"),
)
BY_NAME: Final = {name: key for key in KEYS for name in (key.tag, key.keyword)}

# Answered without being asked for, besides what is counted.
ANSWERED: Final[dict[Level, tuple[str, ...]]] = {
    "study": (
        "00080005", "00080020", "00080030", "00080050", "00080090", "00080201", "00081030",
        "00100010", "00100020", "00100021", "00100030", "00100040", "0020000D", "00200010",
    ),
    "series": (
        "00080005", "00080021", "00080031", "00080060", "00080070", "0008103E", "00180015", "00180024",
        "0020000D", "0020000E", "00200011", "00200052", "00200060", "00400244", "00400245", "00400275",
    ),
    "instance": (
        "00080005", "00080016", "00080018", "00080060", "0020000D", "0020000E", "00200013",
        "00280008", "00280010", "00280011", "00280100",
    ),
}  # fmt: skip
# Beyond these, what belongs to the study (with all of group 0010, the patient) or to the series, and is
# therefore the same in each of its instances.
_MORE: Final[dict[Level, frozenset[str]]] = {
    "study": frozenset({
        "00080051", "00080080", "00080081", "00080096", "00081032", "00081048", "00081060", "00081080",
        "00081110", "00321032", "00321060",
    }),
    "series": frozenset({
        "00080064", "00080068", "00081010", "00081040", "00081050", "00081070", "0008103F", "00081090",
        "00181000", "00181020", "00181030", "00185100", "00400253", "00400254", "00400260",
    }),
    "instance": frozenset(),
}  # fmt: skip


def belongs(tag: str, level: Level) -> bool:
    """May this attribute be answered at this level? (An instance has everything.)"""
    if level == "instance":
        return True
    of_study = tag.startswith("0010") or tag in ANSWERED["study"] or tag in _MORE["study"]
    return of_study or (level == "series" and (tag in ANSWERED["series"] or tag in _MORE["series"]))
