"""What can go wrong between a notification and finished work.

Each class says whether trying again later can help (`temporary`); `subscriptions.retry` decides by that, and
by the same attribute on the errors of other folders.
"""

from collections.abc import Sequence


class SubscriptionsError(Exception):
    """Base of this folder's errors."""

    code = "subscriptions"
    temporary = False
    sentence = "The background work failed."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence or self.sentence)


# Queue


class JobNotAllowedError(SubscriptionsError):
    """A job names a function, or has arguments, that the table of jobs does not know."""

    code = "job-not-allowed"
    sentence = "This job is not in the table of jobs."


class JobUnknownError(SubscriptionsError):
    """No dead letter has this id."""

    code = "job-unknown"
    sentence = "There is no failed job with this id."


class QueueUnavailableError(SubscriptionsError):
    """Redis does not answer."""

    code = "queue-unavailable"
    temporary = True
    sentence = "The queue is not reachable."


class LeaseLostError(SubscriptionsError):
    """Another worker has taken this job over."""

    code = "lease-lost"
    sentence = "Another worker has taken this job over."


class JobFailedError(SubscriptionsError):
    """What RQ is told of a failure: the class of the error and a safe sentence, never its text."""

    code = "job-failed"


class DeadlineError(SubscriptionsError):
    """The job ran longer than its deadline."""

    code = "deadline"
    sentence = "The job ran longer than its deadline."


# Work


class WrongWorkerError(SubscriptionsError):
    """A job runs in a worker that was not started for its queue."""

    code = "wrong-worker"
    sentence = "This worker was not started for jobs of this kind."


class TaskChangedError(SubscriptionsError):
    """The Task is not in the state that this step starts from."""

    code = "task-changed"
    sentence = "The task has been changed by someone else."


class InputChangedError(SubscriptionsError):
    """The series that the Task names are not what they were when it was made."""

    code = "input-changed"
    sentence = "The study has changed since this task was made."


class PatientUnfitError(SubscriptionsError):
    """Images may not be given to this Patient."""

    code = "patient-unfit"
    sentence = "This Patient is not active, or was merged into another one."


class StudyUnknownError(SubscriptionsError):
    """No study with this UID is stored or in quarantine."""

    code = "study-unknown"
    sentence = "There is no study with this UID, neither stored nor in quarantine."


class NothingToCorrectError(SubscriptionsError):
    """What is asked for is so already."""

    code = "nothing-to-correct"
    sentence = "There is nothing to correct."


class OtherCorrectionError(SubscriptionsError):
    """An unfinished correction has to be finished first."""

    code = "other-correction"

    def __init__(self, kind: str, from_ref: str, to_ref: str) -> None:
        super().__init__(
            f"A correction is not finished ({kind}, {from_ref} to {to_ref}): run that command again first."
        )


class SignedReportError(SubscriptionsError):
    """A signed report is withdrawn by a radiologist, never by an operator."""

    code = "signed-report"

    def __init__(self, references: Sequence[str]) -> None:
        super().__init__(
            f"Signed and not withdrawn: {', '.join(references)}. A radiologist has to withdraw it first"
            " ($sign with entered-in-error); a task asks for that. Nothing was changed."
        )


class AuditUnavailableError(SubscriptionsError):
    """The audit spool cannot be written, so nothing may be done."""

    code = "audit-unavailable"
    temporary = True
    sentence = "The audit trail cannot be written."
