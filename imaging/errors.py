"""What can go wrong with images: a catalogue. Standard library only, because the facade reads it too.

`code` is stable, `temporary` says whether trying again can help, the message is safe to show.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class ImagingError(Exception):
    """Base of the folder's errors."""

    code: ClassVar[str] = "imaging"
    temporary: ClassVar[bool] = False


# --- identity of studies, series and instances -------------------------------------------------


class UIDConflictError(ImagingError):
    """A Study, Series or SOP Instance UID is already known under another patient or parent."""

    code = "uid-conflict"


class MergedPatientError(UIDConflictError):
    """The patient record has been merged into another one, or just is."""

    code = "merged-patient"


class OtherPixelsError(ImagingError):
    """The SOP Instance UID is already stored with other pixels."""

    code = "other-pixels"


class CorrectionBusyError(ImagingError):
    """Another process is correcting whose images these are."""

    code = "correction-busy"
    temporary = True


# --- reading and converting DICOM --------------------------------------------------------------


class DICOMError(ImagingError):
    """The bytes cannot be read as a DICOM instance."""

    code = "not-dicom"


class CodecError(ImagingError):
    """A frame could not be encoded or decoded."""

    code = "codec"


class GeometryError(ImagingError):
    """A series is not one regular volume; the message says why."""

    code = "geometry"


class ChildDiedError(ImagingError):
    """The child that parses and decodes ended in the middle of the work (crash, memory or time limit)."""

    code = "child-died"


class ScratchError(ImagingError):
    """The disk, not the file: it is full or broken. Later it may do."""

    code = "disk"
    temporary = True
    numbers: ClassVar = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE})


# --- Orthanc -----------------------------------------------------------------------------------


class OrthancError(ImagingError):
    """Orthanc refused or could not answer."""

    code = "orthanc"


class OrthancTemporaryError(OrthancError):
    """Orthanc is down, slow or busy; later it may answer."""

    code = "orthanc-unavailable"
    temporary = True


class OrthancNotFoundError(OrthancError):
    """Orthanc does not have this instance."""

    code = "orthanc-not-found"


class ReplaceError(ImagingError):
    """After a replacement the stored bytes were not the written ones; the original was put back."""

    code = "replace"


class ReplaceBusyError(ImagingError):
    """Another worker is replacing this instance, or its leftover has to be put back first."""

    code = "replace-busy"
    temporary = True


class MultipartError(ImagingError):
    """An upload is not complete multipart/related."""

    code = "multipart"
