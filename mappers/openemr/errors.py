"""What can go wrong between a FHIR resource and OpenEMR's rows.

`temporary` says whether trying again can help. No message carries a value of a patient: elements, tables
and columns are named, contents are not.
"""


class OpenEMRError(Exception):
    """Base of this folder's errors."""

    code = "openemr"
    temporary = False
    sentence = "OpenEMR could not be brought up to date."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence or self.sentence)


class OpenEMRTemporaryError(OpenEMRError):
    """The database is away, full of work or gave up on a lock."""

    code = "openemr-unavailable"
    temporary = True
    sentence = "OpenEMR's database does not answer."


class OpenEMRDatabaseError(OpenEMRError):
    """The database refused a statement."""

    code = "openemr-refused"
    sentence = "OpenEMR's database refused a statement."


class SchemaError(OpenEMRError):
    """A table or column that the mapping needs is missing or not granted; the set-up may be at work."""

    code = "openemr-schema"
    temporary = True


class WideGrantsError(OpenEMRError):
    """The database account may do more than the mapping needs."""

    code = "openemr-grants"


class SyncConflictError(OpenEMRError):
    """A row was changed or deleted in OpenEMR since it was written; nothing was overwritten."""

    code = "openemr-conflict"


class MappingError(OpenEMRError):
    """The resource cannot be expressed in OpenEMR's tables."""

    code = "openemr-mapping"


class MissingValueError(MappingError):
    """An element that OpenEMR needs is not there."""

    code = "openemr-missing-value"

    def __init__(self, element: str) -> None:
        super().__init__(f"{element} is missing, and OpenEMR needs it.")


class UnknownCodeError(MappingError):
    """A code that the value tables do not know."""

    code = "openemr-unknown-code"

    def __init__(self, element: str) -> None:
        super().__init__(f"{element} has a code that OpenEMR has no value for.")


class UnmappableError(MappingError):
    """A value that has no place in OpenEMR."""

    code = "openemr-unmappable"


class ValueTooLongError(MappingError):
    """A text is longer than its column. It is never cut."""

    code = "openemr-too-long"

    def __init__(self, table: str, column: str, length: int) -> None:
        super().__init__(f"A text is longer than the {length} that {table}.{column} holds.")


class SubjectChangedError(MappingError):
    """The resource now belongs to another patient or record than the row that was written for it."""

    code = "openemr-subject-changed"
