"""SMART scopes: parse, print, intersect. Text that is not understood grants nothing.

Sources: SMART App Launch 2.2.0, "Scopes and Launch Context" (v2 `cruds` with granular constraints, v1 for
backwards compatibility: read = rs, write = cud, * = cruds).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Context = Literal["patient", "user", "system"]


@dataclass(frozen=True, order=True)
class Grant:
    """One clinical scope: `context/type.letters?predicates`."""

    context: Context
    type: str
    letters: str
    predicates: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class ScopeSet:
    """What a scope string grants: clinical grants and the plain words (openid, launch ...)."""

    grants: frozenset[Grant] = field(default_factory=frozenset)
    words: frozenset[str] = field(default_factory=frozenset)
