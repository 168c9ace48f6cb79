"""One measured figure, and what is asked of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One row of the table and of var/bench/latest.json."""

    row: str
    value: float
    unit: str
    reference: float | None = None
    """The same figure without the product, measured in the same run."""
    ratio: float | None = None
    """Value over reference."""
    budget: str | None = None
    ok: bool | None = None
    """None: stated only."""
    detail: str = ""
    """Further figures of the same measurement."""

    def to_json(self) -> dict[str, Any]:
        """As latest.json holds it."""
        return asdict(self)


def stated(row: str, value: float, unit: str, reference: float | None = None) -> Row:
    """A figure without a budget."""
    return Row(row, value, unit, reference, value / reference if reference else None)


def at_most(row: str, value: float, unit: str, limit: float) -> Row:
    """An absolute upper bound."""
    return Row(row, value, unit, budget=f"≤ {limit:g} {unit}", ok=value <= limit)


def at_most_more(row: str, value: float, unit: str, reference: float, more: float) -> Row:
    """The reference and a fixed amount on top."""
    budget = f"≤ reference + {more:g} {unit}"
    return Row(row, value, unit, reference, value / reference, budget, value <= reference + more)


def at_most_times(row: str, value: float, unit: str, reference: float, times: float) -> Row:
    """An upper bound of the ratio."""
    return Row(row, value, unit, reference, value / reference, f"≤ {times:g} x", value <= times * reference)


def at_least_times(row: str, value: float, unit: str, reference: float, times: float) -> Row:
    """A lower bound of the ratio."""
    return Row(row, value, unit, reference, value / reference, f"≥ {times:g} x", value >= times * reference)


def print_rows(rows: Iterable[Row]) -> None:
    """Tell the rows to the process that started this one."""
    print(json.dumps([row.to_json() for row in rows]))
