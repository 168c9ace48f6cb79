"""The table, var/bench/latest.json and bench/RESULTS.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.rows import Row
from deploy.settings import ROOT

RESULTS = Path(__file__).with_name("RESULTS.md")
HEADINGS = ("row", "value", "unit", "reference", "ratio", "budget", "ok", "detail")


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(title="NeuroNova bench", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading in ("value", "reference", "ratio") else "left")
    for row in rows:
        style = "red" if row.ok is False else None
        table.add_row(*_cells(row), style=style)
    console.print(table)


def write_json(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows; a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps([row.to_json() for row in rows], ensure_ascii=False, indent=1) + "\n")
    part.replace(path)


def write_results(rows: Sequence[Row], command: str, load_average: float, seconds: float) -> None:
    """Write the table that is committed."""
    lines = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}, `{command}`, {seconds / 60:.1f} min.",
        f"{_machine()}; load average at the start {load_average:.1f} (0 is an idle machine).",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
        "",
        "What each row is and what its reference is: [README.md](README.md).",
        "",
    ]
    RESULTS.write_text("\n".join(lines))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.row,
        _number(row.value),
        row.unit,
        "" if row.reference is None else _number(row.reference),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.budget or "",
        {True: "yes", False: "NO", None: ""}[row.ok],
        row.detail,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _machine() -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    model = models[0] if models else platform.machine()
    return f"{cores} cores of {model}, {memory:.0f} GB, {platform.system()}"


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
