"""Owns what can go wrong between a study and its findings: a stable code, a sentence safe to show, and
whether trying again can help (`temporary`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class InferenceError(Exception):
    """Base of everything this folder raises on purpose."""

    code: ClassVar[str] = "inference-failed"
    temporary: ClassVar[bool] = False
    sentence: ClassVar[str] = "The analysis of the study failed."

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.sentence)


# --- the bundle


class BundleNotAllowedError(InferenceError):
    """The bundle's id is not on the allow-list, or is no id at all."""

    code = "bundle-not-allowed"
    sentence = "This bundle is not on the list of allowed bundles."


class BundleContractError(InferenceError):
    """The bundle breaks its contract; every violation is named."""

    code = "bundle-contract"
    sentence = "The bundle breaks its contract and was not loaded."

    def __init__(self, bundle_id: str, violations: Sequence[str]) -> None:
        self.bundle_id = bundle_id
        self.violations = tuple(violations)
        super().__init__(f"bundle {bundle_id}: " + "; ".join(self.violations))


# --- the study


class SelectionError(InferenceError):
    """The study does not have exactly one series for each role, on one grid; the reason is safe to show."""

    code = "series-selection"
    sentence = "The study does not have the series that the bundle needs."

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class HeaderError(InferenceError):
    """A series is no stack of slices with a position, an orientation and a spacing each."""

    code = "series-header"
    sentence = "A series of the study has no usable geometry."


class GridError(InferenceError):
    """The volumes of a study do not lie on one grid."""

    code = "series-grid"
    sentence = "The series of the study do not share one grid."


# --- the result


class StaleTaskError(InferenceError):
    """The Task's version is unknown, so its update could overwrite somebody's decision."""

    code = "task-version"
    sentence = "The task has no version to compare with."
