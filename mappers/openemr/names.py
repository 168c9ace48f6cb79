"""Identifier systems of the product, and the parts of a person's name in OpenEMR's columns."""

from collections.abc import Sequence

from mappers.openemr.elements import Resource
from mappers.openemr.errors import MissingValueError
from mappers.openemr.values import Row, text

MRN_SYSTEM = "urn:neuronova:mrn"
ACCESSION_SYSTEM = "urn:neuronova:accession"
NPI_SYSTEM = "http://hl7.org/fhir/sid/us-npi"

# ISO 21090: SYL syllabic (Hangul), IDE ideographic (Hanja), ABC alphabetic.
_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_SCRIPTS = ("SYL", None, "ABC", "IDE")
_USES = ("official", "usual", None)
_TWO_SYLLABLE_SURNAMES = ("남궁", "황보", "제갈", "선우", "독고", "사공", "서문")
_HANGUL = ("가", "힣")


def name_columns(names: Sequence[Resource]) -> Row:
    """Return lname, fname, mname, suffix and title of the name that a clinician here would read."""
    usable = [name for name in names if name.get("use") not in ("old", "nickname", "anonymous", "maiden")]
    if not usable:
        raise MissingValueError("name")
    name = min(usable, key=_rank)
    given = [text(part) for part in name.get("given", ())]
    family = text(name.get("family", ""))
    if not family and not given:
        family, first = _split(text(name.get("text", "")).strip())
        given = [first] if first else []
    if not family and not given:
        raise MissingValueError("name.family")
    return {
        "lname": family,
        "fname": given[0] if given else "",
        "mname": " ".join(given[1:]),
        "suffix": text(" ".join(name.get("suffix", ()))),
        "title": text(" ".join(name.get("prefix", ()))),
    }


def _rank(name: Resource) -> tuple[int, int]:
    script = next(
        (
            entry.get("valueCode")
            for entry in name.get("extension", ())
            if entry.get("url") == _REPRESENTATION
        ),
        None,
    )
    use = name.get("use")
    return (
        _SCRIPTS.index(script) if script in _SCRIPTS else len(_SCRIPTS),
        _USES.index(use) if use in _USES else len(_USES),
    )


def _split(whole: str) -> tuple[str, str]:
    """Part a Korean name into surname and given name; any other text stays whole."""
    joined = whole.replace(" ", "")
    if not joined or not all(_HANGUL[0] <= letter <= _HANGUL[1] for letter in joined):
        return whole, ""
    if " " in whole:
        surname, given = whole.split(" ", 1)
        return surname, given.strip()
    length = 2 if len(joined) > 2 and joined.startswith(_TWO_SYLLABLE_SURNAMES) else 1
    return joined[:length], joined[length:]
