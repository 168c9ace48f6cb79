"""Value tables between FHIR and OpenEMR's lists. A code that is not here raises; nothing is guessed.

Lists: OpenEMR's list_options (sex, marital, language, ord_priority, ord_status, proc_rep_status,
proc_res_status, proc_res_abnormal, _ActEncounterCode).
"""

from collections.abc import Mapping

from mappers.openemr.errors import UnknownCodeError

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
CPT = "http://www.ama-assn.org/go/cpt"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
MARITAL_STATUS = "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus"
NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

# Prefix of a code in procedure_order_code.procedure_code, best first.
ORDER_CODE_PREFIXES = {LOINC: "LOINC", SNOMED: "SNOMED-CT", CPT: "CPT4"}
REASON_PREFIXES = {ICD10: "ICD10", ICD10_CM: "ICD10", SNOMED: "SNOMED-CT"}

# OpenEMR has no value for `other`; HAPI keeps it.
SEX = {"male": "Male", "female": "Female", "unknown": "UNK", "other": "UNK"}

MARITAL = {
    "M": "married",
    "S": "single",
    "D": "divorced",
    "W": "widowed",
    "L": "separated",
    "T": "domestic partner",
    "U": "single",  # unmarried
    "UNK": "",
}

LANGUAGE = {
    "ar": "arabic", "bn": "bengali", "de": "german", "el": "greek", "en": "English", "es": "Spanish",
    "fa": "persian", "fr": "french", "he": "hebrew", "hi": "hindi", "hu": "hungarian",
    "id": "indonesian", "it": "italian", "ja": "japanese", "kk": "kazakh", "km": "central_khmer",
    "ko": "korean", "ky": "kirghiz_kyrgyz", "lo": "laotian", "mn": "mongolian", "ms": "malay",
    "my": "burmese", "ne": "nepali", "nl": "dutch_flemish", "pl": "polish", "pt": "portuguese",
    "ro": "romanian_moldavian_moldovan", "ru": "russian", "si": "sinhala_sinhalese", "sv": "swedish",
    "sw": "swahili", "ta": "tamil", "th": "thai", "tl": "tagalog", "tr": "turkish", "uk": "ukrainian",
    "ur": "urdu", "uz": "uzbek", "vi": "vietnamese", "zh": "chinese",
}  # fmt: skip

ENCOUNTER_CLASS = {
    code: code
    for code in ("AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR")
}

ORDER_STATUS = {
    "active": "pending",
    "draft": "pending",
    "on-hold": "pending",
    "unknown": "pending",
    "completed": "complete",
    "revoked": "canceled",
    "entered-in-error": "canceled",  # the row also gets activity 0
}

ORDER_PRIORITY = {"routine": "routine", "urgent": "urgent", "asap": "asap", "stat": "stat"}

ORDER_INTENT = {
    "order": "order",
    "original-order": "order",
    "reflex-order": "order",
    "filler-order": "order",
    "instance-order": "order",
    "plan": "plan",
    "directive": "directive",
    "proposal": "proposal",
    "option": "option",
}

ORDER_TYPE = {"363679005": "imaging", "108252007": "laboratory_test", "387713003": "procedure"}
PERFORMER_TYPE = {"imaging": "radiology", "laboratory_test": "laboratory", "procedure": ""}

# OpenEMR shows any result as final, so a report appears there only once it is signed.
REPORT_STATUS = {
    "final": "final",
    "amended": "correct",
    "corrected": "correct",
    "appended": "correct",
    "entered-in-error": "error",
    "cancelled": "cancel",
}
SIGNED = frozenset({"final", "amended", "corrected", "appended"})

RESULT_STATUS = {
    "final": "final",
    "amended": "correct",
    "corrected": "correct",
    "entered-in-error": "error",
    "cancelled": "cancel",
}

ABNORMAL = {"N": "no", "A": "yes", "AA": "yes", "H": "high", "L": "low", "HH": "vhigh", "LL": "vlow"}


def lookup(values: Mapping[str, str], code: object, element: str) -> str:
    """Return OpenEMR's value for a code, or refuse the resource."""
    if not isinstance(code, str) or code not in values:
        raise UnknownCodeError(element)
    return values[code]
