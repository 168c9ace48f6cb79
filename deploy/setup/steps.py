"""Runs the set-up steps, one printed line each.

A step looks first whether its result is there, builds it beside its final place and moves it there last: a
set-up that was killed is simply run again. Standard library only, because nothing is installed yet.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import DeployError

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout."""

BUILD = ROOT / ".build"
"""Where set-up keeps what it builds, its stamps and its logs; git-ignored, made again when missing."""


@dataclass(frozen=True)
class Step:
    """One step of the set-up: its name and what it does, answering a few words on the outcome."""

    name: str
    run: Callable[[], str]


def run_all(*stages: Iterable[Iterable[Step]]) -> None:
    """Run stages one after another; a stage's chains of steps run side by side (they mostly wait for data).

    One line is printed for each step as it ends. A failure ends its chain; the set-up ends after the stage.
    """
    begin = time.monotonic()
    for stage in stages:
        with ThreadPoolExecutor() as pool:
            failures = [failure for failure in pool.map(_run_chain, stage) if failure is not None]
        if failures:
            for failure in failures:
                print("\n".join(failure.lines()), file=sys.stderr, flush=True)
            raise SystemExit(1)
    _line("all", "set-up complete", time.monotonic() - begin)


def _run_chain(chain: Iterable[Step]) -> DeployError | None:
    for step in chain:
        start = time.monotonic()
        try:
            outcome = step.run()
        except DeployError as error:
            _line(step.name, "failed", time.monotonic() - start)
            return error
        _line(step.name, outcome, time.monotonic() - start)
    return None


def _line(name: str, outcome: str, seconds: float) -> None:
    print(f"setup  {name:<16} {outcome:<46} {seconds:6.1f} s", flush=True)


def run(
    command: Sequence[str],
    *,
    step: str,
    do: str,
    cwd: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command with its output in the step's log; a failure names the log and what to do."""
    log = BUILD / "log" / f"{step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(command)}\n".encode())
        output.flush()
        try:
            done = subprocess.run(
                list(command),
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except FileNotFoundError as error:
            raise DeployError(f"{step}: the command {command[0]} does not exist", do=do, log=log) from error
    if done.returncode != 0:
        raise DeployError(f"{step}: {command[0]} ended with {done.returncode}", do=do, log=log)


def as_root(command: Sequence[str]) -> list[str]:
    """The command as root: itself when we are root, else through sudo."""
    return list(command) if os.geteuid() == 0 else ["sudo", *command]


def digest(paths: Iterable[Path], *extra: str) -> str:
    """SHA-256 over names and contents of files, and over words that also change the result."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(ROOT)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    for word in extra:
        total.update(f"\0{word}".encode())
    return total.hexdigest()


def stamped(stamp: Path, value: str) -> bool:
    """Whether a stamp says that this very value was built."""
    try:
        return stamp.read_text() == value
    except FileNotFoundError:
        return False


def write_stamp(stamp: Path, value: str) -> None:
    """Write a stamp, whole or not at all."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    part = stamp.with_suffix(".part")
    part.write_text(value)
    part.replace(stamp)
