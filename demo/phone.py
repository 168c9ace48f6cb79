"""A person's authenticator app, for installations that ask staff for a second factor.

Source: RFC 6238 (time steps of 30 s); the product takes a code once, and one step early or late.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import pyotp

STEP_S = 30
_KEY = re.compile(r"<code>([A-Z2-7 ]{16,})</code>")


@dataclass
class Phone:
    """The key that the enrolment page showed, and the last time step whose code was used."""

    key: str = ""
    used: int = 0

    def enrol(self, page: str) -> None:
        """Take the key from the page; ValueError when it shows none."""
        found = _KEY.search(page)
        if found is None:
            raise ValueError("the enrolment page shows no key")
        self.key = found.group(1).replace(" ", "")

    def code(self) -> str:
        """A code that was not used yet; waits where the next one would be too early."""
        step = max(int(time.time()) // STEP_S, self.used + 1)
        time.sleep(max(0.0, (step - 1) * STEP_S - time.time()))
        self.used = step
        return pyotp.TOTP(self.key).at(step * STEP_S)
