"""An operator at the command line, who may be cut off at any line."""

import multiprocessing
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.flows import killed_command
from tests.flows.pipeline import Clinic, Study

EVERY = 61
"""Lines between two kills: a prime, so that no loop hides behind it."""
TIMEOUT_S = 120
LOADED = multiprocessing.get_context("forkserver")
LOADED.set_forkserver_preload([killed_command.__name__, "neuronova.study", "neuronova.patient"])


@dataclass(frozen=True)
class Done:
    """How a command ended; -9: killed."""

    returncode: int
    stdout: str
    stderr: str


def command(clinic: Clinic, *arguments: str, lines: int = 0) -> Done:
    """Run the command; `lines`: kill it after so many."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("stdout", "stderr")]
        for file in said:
            file.touch()
        given = (lines, ("--var", str(clinic.stack.var), *arguments), *said)
        process = LOADED.Process(target=killed_command.main, args=given)
        process.start()
        process.join(TIMEOUT_S)
        returncode = process.exitcode
        process.kill()
        process.join()
        stdout, stderr = (file.read_text() for file in said)
        assert returncode is not None, f"ran for {TIMEOUT_S} s: {stdout}{stderr}"
        return Done(returncode, stdout, stderr)


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
