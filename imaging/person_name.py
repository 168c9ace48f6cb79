"""Does a DICOM person name contradict a FHIR Patient's names? Standard library only.

DICOM writes a name in up to three groups, alphabetic=ideographic=phonetic, each
family^given^middle^prefix^suffix (PS3.5 6.2.1; Korean in annex I: Latin=Hanja=Hangul). Sites fill the groups
differently (Hangul in the first one is common), so a group is compared by the script it is written in, with
the Patient's names in that script. Where both sides have a script they must agree in it: one agreeing script
does not excuse another that differs. No transliteration is tried: Hong and 홍 are neither
equal nor different, they are not comparable.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["same", "different", "not-comparable", "absent"]
Script = Literal["latin", "hangul", "han", "other"]


@dataclass(frozen=True)
class Name:
    """One written form: family and given names as bare letters; `whole` when the form has no parts."""

    family: str
    given: tuple[str, ...]
    is_whole: bool

    @property
    def orders(self) -> set[str]:
        """The letters in one string, family first and last."""
        given = "".join(self.given)
        return {self.family + given, given + self.family}


def compare(dicom: str, fhir: Sequence[Mapping[str, Any]]) -> Verdict:
    """Compare PatientName with Patient.name; "absent" if one side has no name at all."""
    groups = [group for group in dicom.strip(" \x00").split("=") if _letters(group)]
    written = [(script(text), name) for text, name in _fhir_names(fhir)]
    if not groups or not written:
        return "absent"
    compared = False
    for group in groups:
        candidates = [name for kind, name in written if kind == script(group)]
        if not candidates:
            continue
        compared = True
        if not any(_agree(_dicom_name(group), candidate) for candidate in candidates):
            return "different"
    return "same" if compared else "not-comparable"


def display(name: Mapping[str, str]) -> str:
    """A name of DICOM JSON (PS3.18 F.2.2) as one text, each group once, family name first as DICOM has it."""
    groups = (name.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic"))
    written = (" ".join(filter(None, (part.strip() for part in group.split("^")))) for group in groups)
    return " · ".join(dict.fromkeys(filter(None, written)))


def script(text: str) -> Script:
    """The script a name is written in, by its first letter that tells."""
    for character in unicodedata.normalize("NFC", text):
        name = unicodedata.name(character, "")
        if name.startswith("HANGUL"):
            return "hangul"
        if name.startswith("CJK"):
            return "han"
        if name.startswith(("LATIN", "FULLWIDTH LATIN")):
            return "latin"
    return "other"


def _dicom_name(group: str) -> Name:
    parts = group.split("^")
    if len(parts) == 1:
        return Name(_letters(group), (), is_whole=True)
    given = tuple(filter(None, (_letters(part) for part in parts[1:3])))
    return Name(_letters(parts[0]), given, is_whole=not given or not _letters(parts[0]))


def _fhir_names(names: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, Name]]:
    for name in names:
        family, given = name.get("family", ""), name.get("given", [])
        if family or given:
            parts = tuple(filter(None, map(_letters, given)))
            yield f"{family}{''.join(given)}", Name(_letters(family), parts, is_whole=not (family and given))
        elif _letters(name.get("text", "")):
            yield name["text"], Name(_letters(name["text"]), (), is_whole=True)


def _agree(dicom: Name, fhir: Name) -> bool:
    if dicom.is_whole or fhir.is_whole:
        return bool(dicom.orders & fhir.orders)
    if dicom.family != fhir.family:
        return False
    # A middle name may be missing in the file or in the record: the first given name alone is enough then.
    return "".join(dicom.given) == "".join(fhir.given) or (
        (len(dicom.given) == 1 or len(fhir.given) == 1) and dicom.given[0] == fhir.given[0]
    )


def _letters(text: str) -> str:
    """Bare letters for comparison: no case, accents, width forms, spaces, hyphens or apostrophes."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    kept = (
        character
        for character in folded
        # Hangul falls apart into conjoining letters here and is put together again by NFC below.
        if unicodedata.category(character) in ("Ll", "Lo", "Lm", "Nd")
    )
    return unicodedata.normalize("NFC", re.sub(r"\s", "", "".join(kept)))
