"""Requests as fast as they are answered, by wrk (github.com/wg/wrk), and medians over interleaved rounds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from demo.run import StepFailedError, require

SCRIPT = Path(__file__).with_name("load.lua")
FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True)
class Target:
    """What is asked for: an address, and whose token goes with it."""

    url: str
    token: str = ""
    accept: str = FHIR_JSON
    secret: str = ""
    """HAPI's secret, where HAPI itself is asked."""
    body: str = ""
    """What is posted; without one it is a GET."""


@dataclass(frozen=True)
class Load:
    """What came of it."""

    p50_ms: float
    p99_ms: float
    per_s: float
    requests: int


def load(target: Target, connections: int, seconds: float) -> Load:
    """Load one address; every answer has to be a good one."""
    wrk = shutil.which("wrk")
    require(wrk is not None, "wrk is not installed: run `python3 -m deploy setup --tests`")
    done = subprocess.run(
        [
            *(str(wrk), "--threads", "1", "--connections", str(connections)),
            *("--duration", f"{seconds:.0f}s", "--timeout", "10s", "--script", str(SCRIPT), target.url),
        ],
        env={
            "PATH": os.environ["PATH"],
            "BENCH_TOKEN": target.token,
            "BENCH_ACCEPT": target.accept,
            "BENCH_SECRET": target.secret,
            "BENCH_BODY": target.body,
        },
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise StepFailedError(f"wrk: {(done.stderr or done.stdout)[-300:]}")
    told = json.loads(lines[-1])
    require(told["requests"] > 0, f"no answer within {seconds:.0f} s")
    require(told["errors"] == 0, f"{told['errors']} of {told['requests']} answers failed")
    return Load(told["p50_ms"], told["p99_ms"], told["per_s"], told["requests"])


def interleaved(
    targets: Mapping[str, Target], connections: int, seconds: float, rounds: int
) -> dict[str, Load]:
    """Medians of the rounds; the targets take turns, so that a change of the machine meets all of them."""
    found: dict[str, list[Load]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, target in targets.items():
            found[name].append(load(target, connections, seconds))
    return {
        name: Load(
            median(one.p50_ms for one in loads),
            median(one.p99_ms for one in loads),
            median(one.per_s for one in loads),
            sum(one.requests for one in loads),
        )
        for name, loads in found.items()
    }
