"""One way in that an attacker would try: a request whose blanks are filled in twice, once for each world.

A blank is written `<owner.thing>`: `<foreign.observation>` is an Observation of the other patient in the one
world and an id that nobody has in the other; `<own.patient>` is the caller's own patient in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Binding = Mapping[str, str]

EVERYBODY = ("patient", "external", "bound", "narrow", "unscoped", "nobody")
"""patient; external hospital; doctor bound to one patient; doctor with laboratory results only; a token
without a clinical scope; no token."""

_BLANK = re.compile(r"<([a-z]+\.[a-z]+)>")


class UnboundError(LookupError):
    """This world has nothing to fill the blank with: the probe does not apply."""


@dataclass(frozen=True)
class Probe:
    """One request with blanks; `path` is below the FHIR base, or begins with `/` for the whole address."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: tuple[str, ...] = EVERYBODY
    is_ordered: bool = False
    """The order of entries is part of the answer (a sort that would show what it sorts by)."""

    @property
    def changes(self) -> bool:
        """Whether it would write something if it were allowed."""
        return self.method not in ("GET", "HEAD", "OPTIONS") and not self.path.endswith("_search")

    @property
    def key(self) -> str:
        """What makes a probe distinct: everything but the ids."""
        return json.dumps([self.method, self.path, self.body, sorted(self.headers.items())], sort_keys=True)

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f" {json.dumps(self.body)[:300]}" if self.body else "")


def fill(value: Any, binding: Binding) -> Any:
    """The same value with every blank filled in."""
    if isinstance(value, str):
        return _BLANK.sub(lambda match: _bound(match[1], binding), value)
    if isinstance(value, list):
        return [fill(item, binding) for item in value]
    if isinstance(value, Mapping):
        return {name: fill(item, binding) for name, item in value.items()}
    return value


def get(*paths: str, **options: Any) -> Iterator[Probe]:
    """GET probes of these paths."""
    for path in paths:
        yield Probe("GET", path, **options)


def form(type_: str, query: str, body: str, **options: Any) -> Probe:
    """A search by POST, its parameters divided between address and body."""
    path = f"{type_}/_search" + (f"?{query}" if query else "")
    return Probe("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"}, **options)


def distinct(probes: Iterable[Probe]) -> list[Probe]:
    """Every kind of request once, in order."""
    return list({probe.key: probe for probe in probes}.values())


def _bound(name: str, binding: Binding) -> str:
    if name not in binding:
        raise UnboundError(name)
    return binding[name]
