"""`python -m tests.escape`: every probe against the running product, or against the server of ESCAPE_BASE."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.run import StepFailedError
from deploy.errors import DeployError
from deploy.settings import from_process, saved
from tests.escape import outside, product
from tests.escape.probe import Probe
from tests.escape.suite import BlindTokenError, Outcome, Suite

_HERE = Path(__file__).parent


def ways() -> Iterator[tuple[str, list[Probe]]]:
    """Every way out: the name of its file, and its probes."""
    for path in sorted(_HERE.glob("test_*.py")):
        probes = getattr(importlib.import_module(f"tests.escape.{path.stem}"), "PROBES", None)
        if probes is not None:
            yield path.stem.removeprefix("test_"), probes


async def _run() -> tuple[dict[str, Outcome], list[str]]:
    base = os.environ.get("ESCAPE_BASE")
    if base:
        return await _asked(outside.suite(base, Path(os.environ["ESCAPE_CREDENTIALS"]))), []
    async with product.suite(saved(from_process(None).var)) as (suite, missing):
        return await _asked(suite), missing


async def _asked(suite: Suite) -> dict[str, Outcome]:
    await suite.check()
    found = {}
    for name, probes in ways():
        found[name] = await suite.run(probes)
        said = f"{name}: {found[name].asked} asked, {len(found[name].leaks)} leaks"
        print(said, file=sys.stderr, flush=True)  # noqa: T201
    return found


def main() -> int:
    """0 only if nothing leaked and something was answered."""
    console = Console(width=140 if not sys.stdout.isatty() else None)
    try:
        found, missing = asyncio.run(_run())
    except (DeployError, StepFailedError, BlindTokenError, OSError) as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    table = Table(title="Ways out", title_justify="left")
    for heading in (
        "way out",
        "probes",
        "pairs asked",
        "answered",
        "not applicable",
        "upstream unseen",
        "leaks",
    ):
        table.add_column(heading, justify="left" if heading == "way out" else "right")
    for name, outcome in found.items():
        counts = (
            outcome.probes,
            outcome.asked,
            outcome.answered,
            outcome.without,
            outcome.unseen,
            len(outcome.leaks),
        )
        table.add_row(name, *map(str, counts))
    for outcome in found.values():
        for leak in outcome.leaks:
            console.print(str(leak), markup=False, highlight=False, soft_wrap=True)
    console.print(table)
    for name in missing:
        console.print(f"no token: {name}", markup=False)
    probes, leaks = (
        sum(counts) for counts in zip(*((o.probes, len(o.leaks)) for o in found.values()), strict=True)
    )
    console.print(f"{probes} probes, {leaks} leaks")
    return 1 if leaks or not any(outcome.answered for outcome in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
