"""Which members of which Groups are shared with an external hospital today."""

from datetime import date
from typing import Any

import pytest

from facade.sharing import members

TODAY = date(2026, 3, 15)


def group(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "active": True,
        "managingEntity": {"reference": "Organization/partner"},
        "member": [{"entity": {"reference": "Patient/a"}}],
    } | changes


def test_a_member_of_an_active_group_of_the_organization_is_shared() -> None:
    assert members(group(), "partner", TODAY) == {"a"}


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "animal"},
        {"actual": False},
        {"active": False},
        {"active": None},
        {"managingEntity": {"reference": "Organization/other"}},
        {"managingEntity": {"reference": "Organization/partner2"}},
        {"managingEntity": {}},
        {"member": []},
        {"member": [{"entity": {"reference": "Patient/a"}, "inactive": True}]},
        {"member": [{"entity": {"reference": "Group/a"}}]},
        {"member": [{"entity": {"identifier": {"value": "a"}}}]},
    ],
)
def test_nothing_else_counts(changes: dict[str, Any]) -> None:
    assert members(group(**changes), "partner", TODAY) == set()


@pytest.mark.parametrize(
    ("period", "is_shared"),
    [
        ({}, True),
        ({"start": "2026-03-15"}, True),
        ({"start": "2026-03-16"}, False),
        ({"end": "2026-03-15"}, True),
        ({"end": "2026-03-14"}, False),
        ({"start": "2026", "end": "2026-03"}, True),
        ({"end": "2026-02"}, False),
        ({"start": "2026-03-15T10:00:00+09:00", "end": "2026-03-15T11:00:00+09:00"}, True),
    ],
)
def test_the_period_includes_both_ends(period: dict[str, str], is_shared: bool) -> None:
    member = {"entity": {"reference": "Patient/a"}, "period": period}
    assert members(group(member=[member]), "partner", TODAY) == ({"a"} if is_shared else set())
