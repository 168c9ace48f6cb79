"""`decide` and `confirm`: the only functions that grant anything. Pure; deny is the default.

Sources: SMART App Launch 2.2.0 "Scopes and Launch Context"; the role table in `roles.py`;
the subject elements in `compartment.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smart_auth.interaction import Decision, Interaction, Principal

__all__ = ["Decision", "Interaction", "Principal", "confirm", "decide", "project"]


def decide(principal: Principal | None, interaction: Interaction, *, now: int | None = None) -> Decision:
    """Scope x role x compartment for one interaction; `now` (seconds) is given by tests only."""
    return Decision(False, "ERR_003", "not granted", 403)


def confirm(decision: Decision, resource: Mapping[str, Any], *, linked: bool = False) -> bool:
    """Whether one resource may be seen (or written) under the decision.

    `linked`: the caller has found a visible resource that refers to this one (`Decision.depends`).
    """
    return False


def project(decision: Decision, resource: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a confirmed resource that the caller may see (a copy; most decisions keep everything)."""
    return {}
