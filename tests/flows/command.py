"""An operator at the command line, who may be cut off at any line."""

import subprocess
import sys
from pathlib import Path

from tests.flows.pipeline import Clinic, Study

KILLED = Path(__file__).with_name("killed_command.py")
EVERY = 61
"""Lines between two kills: a prime, so that no loop hides behind it."""


def command(clinic: Clinic, *arguments: str, lines: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command; `lines`: kill it after so many."""
    return subprocess.run(
        [sys.executable, str(KILLED), str(lines), "--var", str(clinic.stack.var), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=KILLED.parents[2],
        env={"PYTHONPATH": str(KILLED.parents[2]), "PATH": "/usr/bin:/bin"},
    )


def refused(clinic: Clinic, said: str, *arguments: str) -> None:
    done = command(clinic, *arguments)
    assert done.returncode == 1, f"{done.stdout}{done.stderr}"
    assert said in done.stderr, done.stderr


def killed_until_done(clinic: Clinic, *arguments: str) -> int:
    """Kill the command at a line, begin again and kill it later, until it comes to its end."""
    kills = 0
    while True:
        done = command(clinic, *arguments, lines=EVERY * (kills + 1))
        if done.returncode == 0 or "already" in done.stderr:
            return kills
        assert done.returncode == -9, done.stderr
        kills += 1


def assign(study: Study, patient_id: str) -> tuple[str, ...]:
    return ("study", "assign", study.uid, f"Patient/{patient_id}", "--reason", "the ward called")


def merge(old: str, kept: str) -> tuple[str, ...]:
    return ("patient", "merge", f"Patient/{old}", f"Patient/{kept}", "--reason", "one person")
