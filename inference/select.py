"""Owns the choice of the series: each role of the bundle by exactly one series, or a reason why not.

The rules are the bundle's (metadata.json, `neuronova.series`); how they are read is here:
- Words are the parts of SeriesDescription and ProtocolName between anything that is no letter or digit, lower
  case.
- A series is with contrast when ContrastBolusAgent (0018,0010) is not empty or a contrast word occurs,
  without when neither holds. A native word ("pre", "without") contradicts the tag: such a series has no
  contrast state and matches no rule that asks for one. In the description a native word outranks a contrast
  word ("without contrast").
- Times (EchoTime, RepetitionTime, InversionTime) exclude a series when they are present and outside the rule.
- A series that matches two roles, a role without a series, and a role with two are all refusals: nothing is
  guessed.
- All chosen series share patient, study, frame of reference and one grid within the bundle's tolerance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from inference.bundle import Bundle
from inference.errors import SelectionError
from inference.metadata import Geometry, Own, SeriesRule
from inference.series import SeriesHeader


def select(bundle: Bundle, series: Sequence[SeriesHeader]) -> dict[str, str]:
    """Role -> SeriesInstanceUID for every role of the bundle; SelectionError with the reason otherwise."""
    own = bundle.metadata.neuronova
    candidates = [s for s in series if s.modality == own.modality]
    matches = {
        s.series_uid: [role for role, rule in own.series.items() if _matches(rule, own, s)]
        for s in candidates
    }
    for number, header in enumerate(candidates, start=1):
        roles = matches[header.series_uid]
        if len(roles) > 1:
            raise SelectionError(f"series {number} of {len(candidates)} matches {' and '.join(roles)}")
    chosen: dict[str, SeriesHeader] = {}
    for role in own.series:
        found = [s for s in candidates if role in matches[s.series_uid]]
        if not found:
            raise SelectionError(f"missing {role}")
        if len(found) > 1:
            raise SelectionError(f"{_NUMBERS.get(len(found), str(len(found)))} series match {role}")
        chosen[role] = found[0]
    _check_together(chosen, own.geometry)
    return {role: header.series_uid for role, header in chosen.items()}


_NUMBERS = {2: "two", 3: "three", 4: "four"}


def words(header: SeriesHeader) -> frozenset[str]:
    """Lower-case words of description and protocol."""
    return frozenset(re.findall(r"[a-z0-9]+", f"{header.description} {header.protocol}".lower()))


def with_contrast(own: Own, header: SeriesHeader) -> bool | None:
    """Whether contrast was given; None when description and tag contradict each other."""
    said = words(header)
    if said & set(own.native_words):
        return None if header.contrast_agent else False
    return bool(header.contrast_agent) or bool(said & set(own.contrast_words))


def _matches(rule: SeriesRule, own: Own, header: SeriesHeader) -> bool:
    said = words(header)
    if not said & set(rule.words_any) or said & set(rule.words_none):
        return False
    if rule.contrast is not None and with_contrast(own, header) is not rule.contrast:
        return False
    times = (
        (header.echo_time, rule.echo_time),
        (header.repetition_time, rule.repetition_time),
        (header.inversion_time, rule.inversion_time),
    )
    return all(value is None or span is None or span[0] <= value <= span[1] for value, span in times)


def _check_together(chosen: dict[str, SeriesHeader], tolerance: Geometry) -> None:
    (first_role, first), *rest = chosen.items()
    if not first.frame_of_reference_uid:
        raise SelectionError(f"{first_role} has no frame of reference")
    for role, other in rest:
        pair = f"{first_role} and {role}"
        if other.patient_id != first.patient_id:
            raise SelectionError(f"{pair} are of different patients")
        if other.study_uid != first.study_uid:
            raise SelectionError(f"{pair} are of different studies")
        if other.frame_of_reference_uid != first.frame_of_reference_uid:
            raise SelectionError(f"{pair} have different frames of reference")
        if (other.rows, other.columns, other.slices) != (first.rows, first.columns, first.slices):
            raise SelectionError(f"{pair} have different numbers of rows, columns or slices")
        if not np.allclose(other.pixel_spacing, first.pixel_spacing, rtol=tolerance.spacing_fraction, atol=0):
            raise SelectionError(f"{pair} have different pixel spacings")
        if not np.allclose(other.orientation, first.orientation, rtol=0, atol=tolerance.orientation):
            raise SelectionError(f"{pair} are oriented differently")
        ends = np.array([other.first, other.last]) - np.array([first.first, first.last])
        if float(np.linalg.norm(ends, axis=1).max()) > tolerance.position_mm:
            raise SelectionError(f"{pair} lie in different places")
