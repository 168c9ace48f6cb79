"""Which patients are shared with an external hospital at this moment, by the Groups that it manages.

A Group counts only with type person, actual, active and managingEntity = the caller's Organization; a member
only if it is not inactive and today lies within its period (both ends included).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from facade.hapi import HAPIClient

_PATIENT = re.compile(r"Patient/([A-Za-z0-9\-.]{1,64})", re.ASCII)


async def shared_patients(hapi: HAPIClient, organization: str, today: date | None = None) -> frozenset[str]:
    """Ask HAPI for the Organization's Groups and return the ids of the patients that they share today."""
    # The period is written by people of this hospital: its own calendar day counts.
    day = today or datetime.now().astimezone().date()
    found: set[str] = set()
    managed = [("managing-entity", f"Organization/{organization}"), ("type", "person"), ("actual", "true")]
    async for group in hapi.search_all("Group", managed):
        found |= members(group, organization, day)
    return frozenset(found)


def members(group: Mapping[str, Any], organization: str, day: date) -> set[str]:
    """Return the patient ids that one Group shares with the Organization on this day."""
    if (
        group.get("type") != "person"
        or group.get("actual") is not True
        or group.get("active") is not True
        or group.get("managingEntity", {}).get("reference") != f"Organization/{organization}"
    ):
        return set()
    found = set()
    for member in group.get("member", []):
        match = _PATIENT.fullmatch(member.get("entity", {}).get("reference", ""))
        if match and member.get("inactive") is not True and _within(member.get("period", {}), day):
            found.add(match.group(1))
    return found


def _within(period: Mapping[str, Any], day: date) -> bool:
    """Whether the day lies in the period; a partial date stands for all of its days (R4, Period)."""
    today = day.isoformat()
    start, end = str(period.get("start", ""))[:10], str(period.get("end", ""))[:10]
    return today[: len(start)] >= start and today[: len(end)] <= end
