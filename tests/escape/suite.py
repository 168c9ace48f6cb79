"""Asks every probe in both worlds for each kind of token, and keeps what gave something away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from tests.escape.oracle import Answer, differences, spoken
from tests.escape.probe import Probe, UnboundError, fill
from tests.escape.record import DIRECTORY
from tests.escape.worlds import Case, Names

AT_ONCE = 12
FHIR = "application/fhir+json"


# What a token of each kind has to see.
_SEEN = {
    "patient": "Patient/<own.patient>",
    "external": "Patient/<own.patient>",
    "bound": "Patient/<own.patient>",
    "narrow": "Observation/<own.laboratory>",
}


class BlindTokenError(Exception):
    """A token does not see its own part of the record: the suite would ask in vain."""


class Door(Protocol):
    """How a request gets in; the address goes out as it is written."""

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request."""
        ...


@dataclass(frozen=True)
class Caller:
    """One kind of token: its two tokens (one for each world), and the case that it is part of."""

    case: Case
    world: Mapping[str, str]
    twin: Mapping[str, str]
    sees_directory: bool = False
    sees_laboratory: bool = False

    def binding(self, *, is_twin: bool) -> Names:
        """What fills the blanks of a probe of this caller."""
        if not is_twin:
            return self.case.world
        if not self.sees_directory:
            return self.case.twin
        return self.case.twin | {
            f"foreign.{name}": self.case.twin[f"other.{name}"]
            for name in (*DIRECTORY, "staff")
            if f"other.{name}" in self.case.twin
        }

    def secrets(self) -> Names:
        """What this caller must never be told."""
        open_ = {f"foreign.{name}" for name in (*DIRECTORY, "staff")} if self.sees_directory else set()
        if self.sees_directory:
            open_ |= {f"own.{name}" for name in (*DIRECTORY, "staff")}
        if self.sees_laboratory:
            open_ |= {label for label in self.case.secrets.values() if label.startswith("own.")}
        return {value: label for value, label in self.case.secrets.items() if label not in open_}


@dataclass(frozen=True)
class Leak:
    """One probe that told something, with the request that shows it."""

    token: str
    request: str
    found: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.token}: {self.request}\n    " + "\n    ".join(self.found)


@dataclass
class Outcome:
    """What came of one file of probes."""

    probes: int = 0
    asked: int = 0
    answered: int = 0
    """Pairs that were answered with content; the rest was refused."""
    without: int = 0
    """Pairs that could not be asked: this server has no such record, or no such token."""
    unseen: int = 0
    """Pairs whose upstream calls could not be seen."""
    leaks: list[Leak] = field(default_factory=list)


async def nothing_escapes(suite: Suite, probes: Iterable[Probe]) -> None:
    """The whole of a test: ask, and fail with every leak that was found."""
    outcome = await suite.run(probes)
    assert not outcome.leaks, "\n".join(["", *map(str, outcome.leaks)])
    assert outcome.asked, "nothing was asked"


@dataclass
class Suite:
    """A door, callers, and where the FHIR base is."""

    door: Door
    callers: Mapping[str, Caller]
    base: str = "/fhir"
    origin: str = "http://localhost:8080"

    is_short: bool = False
    """Each probe with the patient's token and one more, in turn (a tenth with all), not with every token."""

    async def run(self, probes: Iterable[Probe]) -> Outcome:
        """Ask everything: what reads at once, what would write one after the other."""
        outcome = Outcome()
        readings: list[Callable[[], Awaitable[None]]] = []
        for number, probe in enumerate(probes):
            outcome.probes += 1
            for token in _in_turn(number, probe.tokens) if self.is_short else probe.tokens:
                if (caller := self.callers.get(token)) is None:
                    outcome.without += 1
                elif probe.changes:
                    await self._ask(outcome, probe, token, caller)
                else:
                    readings.append(lambda p=probe, t=token, c=caller: self._ask(outcome, p, t, c))  # type: ignore[misc]
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(ask: Callable[[], Awaitable[None]]) -> None:
            async with gate:
                await ask()

        await asyncio.gather(*(one(ask) for ask in readings))
        return outcome

    async def check(self) -> None:
        """Raise unless each token sees what it is for: a token that sees nothing proves nothing."""
        for token, caller in self.callers.items():
            path = _SEEN.get(token)
            for sent, is_twin in ((caller.world, False), (caller.twin, True)):
                if path is None:
                    continue
                request = self.request(Probe("GET", path), caller.binding(is_twin=is_twin))
                answer = await self.door.send(*self._with(request, sent))
                if answer.status != 200:
                    raise BlindTokenError(f"{token}: {path} answers {answer.status}")

    async def _ask(self, outcome: Outcome, probe: Probe, token: str, caller: Caller) -> None:
        try:
            requests = [self.request(probe, caller.binding(is_twin=is_twin)) for is_twin in (False, True)]
        except UnboundError:
            outcome.without += 1
            return
        first = await self.door.send(*self._with(requests[0], caller.world))
        outcome.asked += 1
        outcome.answered += first.status < 300
        outcome.unseen += first.calls is None
        if first.calls == () and self.is_short and not probe.path.startswith("/"):
            # Nothing was looked up: what is stored cannot have made a difference.
            second = first
        else:
            second = await self.door.send(*self._with(requests[1], caller.twin))
        said = spoken(" ".join(map(str, requests[0])), first, caller.secrets())
        found = [f"says {label}" for label in said]
        found += (
            []
            if second is first
            else differences(first, second, caller.case.labels, is_ordered=probe.is_ordered)
        )
        found += [
            f"status {answer.status}"
            for answer in (first, second)
            if answer.status >= 500 and answer.status != 503
        ]
        if found:
            method, target, headers, body = requests[0]
            shown = " ".join(f"{name}: {value};" for name, value in headers.items())
            request = f"{method} {target} {shown} {body.decode('utf-8', 'replace')[:600]}".strip()
            outcome.leaks.append(Leak(token, request, tuple(found)))

    def request(self, probe: Probe, binding: Names) -> tuple[str, str, dict[str, str], bytes]:
        """One request, written out."""
        path = fill(probe.path, binding)
        if not path.startswith("/"):
            path = f"{self.base}/{path}" if path else self.base
        headers: dict[str, str] = fill(dict(probe.headers), binding)
        body = fill(_absolute(probe.body, self.origin + self.base), binding)
        if body is None:
            return probe.method, _written(path), headers, b""
        if not isinstance(body, str):
            body, headers = json.dumps(body), {"Content-Type": FHIR} | headers
        return probe.method, _written(path), headers, body.encode()

    @staticmethod
    def _with(
        request: tuple[str, str, dict[str, str], bytes], token: Mapping[str, str]
    ) -> tuple[str, str, dict[str, str], bytes]:
        method, target, headers, body = request
        return method, target, {**token, **headers}, body


def _in_turn(number: int, tokens: tuple[str, ...]) -> tuple[str, ...]:
    """The tokens of one probe in a run that has to be short."""
    if number % 10 == 0 or len(tokens) < 3:
        return tokens
    others = [token for token in tokens[1:4] if token in tokens]
    return tokens[0], others[number % len(others)]


def _written(target: str) -> str:
    """Only what an HTTP request line cannot carry is encoded; tricks stay as they are written."""
    return target.replace(" ", "%20").replace("|", "%7C").replace('"', "%22")


def _absolute(value: Any, base: str) -> Any:
    """BASE in a body stands for the server's own address."""
    if isinstance(value, str):
        return value.replace("BASE", base)
    if isinstance(value, list):
        return [_absolute(item, base) for item in value]
    if isinstance(value, Mapping):
        return {name: _absolute(item, base) for name, item in value.items()}
    return value


def origin_of(address: str) -> str:
    """Scheme and host of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
