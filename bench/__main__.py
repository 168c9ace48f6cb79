"""`python -m bench`: measure the product against its budgets, in an installation of its own."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from rich.console import Console

from bench import auth, fhir, frames, interactions, pipeline, qido, report, stow, viewer
from bench.installation import Installation, installation
from bench.rows import Row
from demo.run import FAILURES
from deploy.errors import DeployError
from deploy.programs import WORKER
from deploy.settings import ROOT, from_process

CORES = 2
"""What the budgets are stated for; servers, product and load share them."""

MODULES = ("htj2k", "inference")
PRODUCT: dict[str, Callable[[Installation], Iterator[Row]]] = {
    "pipeline": pipeline.rows,
    "frames": frames.rows,
    "stow": stow.rows,
    "viewer": viewer.rows,
    "auth": auth.rows,
    "fhir": fhir.rows,
    "interactions": interactions.rows,
    "qido": qido.rows,
}
PARTS = (*MODULES, *PRODUCT)
"""In this order: nothing runs beside the codec and the network, and the reads come last because of the
audit records that they leave."""

Sink = Callable[[Row], None]


def main() -> int:
    """0 when every part could be measured; a missed budget is a row that says so."""
    parsed = _arguments()
    console = Console(width=150 if not sys.stdout.isatty() else None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill cleans up as Ctrl-C does
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    load_average, began = os.getloadavg()[0], time.monotonic()
    rows: list[Row] = []
    try:
        failed = _measure(parsed.only, rows.append, console)
    except KeyboardInterrupt:
        report.show(console, rows)
        console.print("stopped; everything that was started has ended", style="red")
        return 130
    report.show(console, rows)
    report.write_json(from_process(None).var / "bench" / "latest.json", rows)
    seconds = time.monotonic() - began
    if parsed.results and not failed:
        command = (
            "make bench" if parsed.only == list(PARTS) else f"python -m bench --only {','.join(parsed.only)}"
        )
        report.write_results(rows, command, load_average, seconds)
    missed = sum(row.ok is False for row in rows)
    console.print(f"{missed} of {sum(row.ok is not None for row in rows)} budgets missed, {seconds:.0f} s")
    for part, reason in failed.items():
        console.print(f"{part} could not be measured: {reason}", style="red", markup=False)
    return 1 if failed else 0


def _measure(parts: list[str], add: Sink, console: Console) -> dict[str, str]:
    """Run the parts; a part that fails is told, and the others go on."""
    failed: dict[str, str] = {}
    for name in (name for name in MODULES if name in parts):
        console.print(f"[dim]{name} …[/dim]")
        try:
            for row in _module(name):
                add(row)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            failed[name] = f"{type(error).__name__}: {error}"
    wanted = [name for name in PRODUCT if name in parts]
    if not wanted:
        return failed
    with ExitStack() as stack:
        console.print("[dim]start of the product …[/dim]")
        try:
            product = stack.enter_context(
                installation(fhir.PROGRAMS if set(wanted) <= {"auth", "fhir", "interactions"} else ())
            )
        except (DeployError, *FAILURES) as error:
            return failed | dict.fromkeys(wanted, f"{type(error).__name__}: {error}")
        for name in wanted:
            console.print(f"[dim]{name} …[/dim]")
            try:
                for row in PRODUCT[name](product):
                    add(row)
            except (DeployError, *FAILURES) as error:
                failed[name] = f"{type(error).__name__}: {error}"
    return failed


def _module(name: str) -> Iterator[Row]:
    """A part with a process of its own, in the environment that the workers have."""
    command = [WORKER, "-m", f"bench.{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr[-600:])
    for told in json.loads(done.stdout.splitlines()[-1]):
        yield Row(**told)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help=f"with commas, of {', '.join(PARTS)}"
    )
    parser.add_argument("--results", action="store_true", help="write bench/RESULTS.md as well")
    parsed = parser.parse_args()
    asked = parsed.only.split(",")
    unknown = sorted(set(asked) - set(PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    parsed.only = [part for part in PARTS if part in asked]
    return parsed


if __name__ == "__main__":
    sys.exit(main())
