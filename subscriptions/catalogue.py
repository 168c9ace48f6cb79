"""The table of jobs: the only functions that a worker runs, with queue, deadline and arguments.

A name that is not here is not run, whatever stands in Redis.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from subscriptions.errors import JobNotAllowedError

IMAGING, INFERENCE, OPENEMR, NOTIFY = "imaging", "inference", "openemr", "notify"
QUEUES = (IMAGING, INFERENCE, OPENEMR, NOTIFY)

FUNCTION_PREFIX = "subscriptions.jobs."

# FHIR id (R4, datatypes), resource type, DICOM UID (PS3.5 section 9.1) and version are all within this set.
_ARGUMENT = re.compile(r"[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True)
class JobKind:
    """One kind of job.

    `timeout_s`: deadline of one run. `versioned`: the job is about one version of its subject, so one
    finished run is enough; else it may be asked for again as soon as the last run ended.
    """

    name: str
    queue: str
    arguments: tuple[str, ...]
    timeout_s: int
    versioned: bool

    @property
    def function(self) -> str:
        """The dotted name that stands in Redis."""
        return FUNCTION_PREFIX + self.name


JOBS: dict[str, JobKind] = {
    kind.name: kind
    for kind in (
        # 4 x 155 slices take some seconds; a large CT on a busy machine some minutes.
        JobKind("transcode_study", IMAGING, ("study_uid",), timeout_s=1800, versioned=False),
        JobKind(
            "propose_inference", INFERENCE, ("imaging_study_id", "version"), timeout_s=300, versioned=True
        ),
        JobKind("run_inference", INFERENCE, ("task_id",), timeout_s=1800, versioned=False),
        JobKind("sync_openemr", OPENEMR, ("type", "id", "version"), timeout_s=60, versioned=True),
        JobKind("notify", NOTIFY, ("type", "id", "version"), timeout_s=20, versioned=True),
    )
}


def kind_of(function: str) -> JobKind:
    """The job kind behind the dotted name of a function.

    :raises JobNotAllowedError: the name is not in the table
    """
    kind = JOBS.get(function.removeprefix(FUNCTION_PREFIX))
    if kind is None or kind.function != function:
        raise JobNotAllowedError
    return kind


def checked_arguments(kind: JobKind, arguments: Sequence[object]) -> tuple[str, ...]:
    """The arguments, when they are as many ids as the job takes.

    :raises JobNotAllowedError: wrong number, or something that is no id
    """
    checked = tuple(value for value in arguments if isinstance(value, str) and _ARGUMENT.fullmatch(value))
    if len(checked) != len(arguments) or len(checked) != len(kind.arguments):
        raise JobNotAllowedError
    return checked
