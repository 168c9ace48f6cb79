"""One run of the demo: who is signed in, what was made, and the table of steps.

Everything that a later run or a person needs stands in `VAR/demo.json` (0600): base URL, logins, client
id, and the ids of the patient, order, study and report. A second run signs in with the same logins and
takes a new patient, so it can be repeated as often as one likes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from playwright.sync_api import Error as PlaywrightError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from websockets.exceptions import WebSocketException

from demo.app import App, Session, SignInError
from demo.phone import Phone

REDIRECT_URI = "http://127.0.0.1:8765/callback"
SCOPE = "openid fhirUser profile offline_access user/*.cruds"

T = TypeVar("T")


class StepFailedError(Exception):
    """A step did not hold; the text says what was seen."""


@dataclass
class Run:
    """What the steps share."""

    base_url: str
    var: Path
    repository: Path
    size: str = "native"
    """Size of the first patient's study (`demo.phantom.SHAPES`); the tests take a small one."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What goes to demo.json: people, client_id, serial, ids."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Measured times that the closing table shows beside the steps' own."""
    signed_in: dict[str, Session] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    """What only this run needs: phantom, open WebSocket, resources as read last."""

    @property
    def path(self) -> Path:
        """Where the facts are kept."""
        return self.var / "demo.json"

    @classmethod
    def load(cls, base_url: str, var: Path, repository: Path) -> Run:
        """A run with the facts of the last one, and a serial number of its own."""
        run = cls(base_url, var, repository)
        if run.path.exists():
            run.facts = json.loads(run.path.read_text())
        run.facts["base_url"] = base_url
        run.facts["serial"] = int(run.facts.get("serial", 0)) + 1
        run.facts.setdefault("people", {})
        return run

    def save(self) -> None:
        """Write the facts durably; a crash leaves the old file or the new one."""
        part = self.path.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self.facts, file, ensure_ascii=False, indent=2)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)

    def as_(self, role: str) -> Session:
        """The session of the person with this role; signs in by the code flow when there is none."""
        if role not in self.signed_in:
            person = self.facts["people"][role]
            app = App(self.base_url, self.facts["client_id"], REDIRECT_URI, SCOPE)
            phone = Phone(**person.get("phone", {}))
            self.signed_in[role] = app.sign_in(person["username"], person["password"], phone)
            if phone.key:
                person["phone"] = asdict(phone)
        return self.signed_in[role]

    def sign_in_again(self, role: str) -> Session:
        """A fresh login: signing a report needs one not older than five minutes."""
        former = self.signed_in.pop(role, None)
        if former is not None:
            former.browser.close()
        return self.as_(role)


def wait_for(what: str, look: Callable[[], T | None], timeout_s: float, every_s: float = 0.25) -> T:
    """Ask until there is an answer; StepFailedError says what was waited for."""
    end = time.monotonic() + timeout_s
    while (answer := look()) is None:
        if time.monotonic() > end:
            raise StepFailedError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(every_s)
    return answer


def require(holds: bool, what: str) -> None:
    """StepFailedError unless it holds."""
    if not holds:
        raise StepFailedError(what)


@dataclass(frozen=True)
class Step:
    """One step: who does it, what it is, and the function that does it and says what came out."""

    role: str
    title: str
    do: Callable[[Run], str]
    log: str
    """The log of the process that most likely knows why the step failed."""


FAILURES = (
    StepFailedError,
    SignInError,
    httpx.HTTPError,
    WebSocketException,
    PlaywrightError,
    OSError,
    LookupError,
    ValueError,
)


def run_steps(run: Run, steps: Sequence[Step], console: Console) -> bool:
    """Run the steps in order, print the table, say what to do about the first that fails."""
    table = Table(title="NeuroNova demo", title_justify="left", show_lines=False)
    for heading, options in (
        ("#", {"justify": "right"}),
        ("who", {}),
        ("step", {}),
        ("what came out", {"overflow": "fold"}),
        ("seconds", {"justify": "right"}),
    ):
        table.add_column(heading, **options)  # type: ignore[arg-type]
    failed: tuple[Step, str] | None = None
    for number, step in enumerate(steps, 1):
        console.print(f"[dim]{number:2d}/{len(steps)} {escape(step.title)} …[/dim]")
        began = time.monotonic()
        try:
            outcome = step.do(run)
        except FAILURES as error:
            failed = (step, f"{type(error).__name__}: {error}")
            outcome = f"[red]FAILED[/red] {escape(failed[1])}"
        else:
            outcome = escape(outcome)
        table.add_row(str(number), step.role, step.title, outcome, f"{time.monotonic() - began:.1f}")
        run.save()
        if failed:
            break
    console.print(table)
    if failed:
        step, seen = failed
        console.print(f"[red]Step failed:[/red] {escape(step.title)} ({step.role})\n  {escape(seen)}")
        console.print(f"  Log: {run.var / 'log' / step.log}")
        console.print("  Then: `make status` shows each process; `make demo` may be run again at any time.")
    return failed is None
