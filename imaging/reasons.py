"""Failure and warning reasons of STOW-RS. Standard library only.

Sources: PS3.18 table I.2-2; PS3.4 B.2.3; PS3.7 annex C.
"""

from __future__ import annotations

PROCESSING_FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
NOT_AUTHORISED = 0x0124
DATA_SET_MISMATCH = 0xA900
WARNING_HELD = 0xB000
CANNOT_UNDERSTAND = 0xC000
OTHER_STUDY = 0xC409  # "Data Set does not match the study of the URL", in the range of "cannot understand"

MEANING = {
    PROCESSING_FAILURE: "the store failed, or the UID is known under another patient, study or series",
    DUPLICATE_INSTANCE: "the instance is stored with other pixels (with equal ones it is a success)",
    NOT_AUTHORISED: "not the uploader's patient, or nobody's; from outside the two look alike",
    DATA_SET_MISMATCH: "an image without pixel data",
    WARNING_HELD: "warning: stored and held until somebody assigns it to a patient",
    CANNOT_UNDERSTAND: "no complete DICOM file, or another media type",
    OTHER_STUDY: "not of the study in the address",
}
