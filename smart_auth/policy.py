"""`decide` and `confirm`: the only functions that grant anything. Pure; deny is the default.

The order is: caller valid > scope covers > role covers > compartment. `decide` has one return that grants.
Sources: SMART App Launch 2.2.0 "Scopes and Launch Context"; `roles.py` (the table of rights);
`compartment.py` (whose record); FHIR R4 http.html (interactions).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from smart_auth import compartment, released, roles
from smart_auth.confirm import confirm, is_of_allowed_category, project
from smart_auth.errors import REFUSALS
from smart_auth.interaction import Alternative, Decision, Depends, Interaction, Principal
from smart_auth.roles import Rule
from smart_auth.scopes import Grant

__all__ = [
    "Decision",
    "Interaction",
    "Principal",
    "confirm",
    "decide",
    "is_of_allowed_category",
    "project",
]

# A signature needs a login that is not older (the product's design, section 4).
SIGN_LOGIN_AGE_S = 300
# No id of the server looks like this (they are UUIDs): a search for it does its work and finds nothing.
NOBODY = "-"

_ID = re.compile(r"[A-Za-z0-9-][A-Za-z0-9\-.]{0,63}")
_LETTERS = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "history-type": "s",
    "search": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
}
_WRITES = frozenset({"create", "update", "patch", "delete"})
_WITHOUT_ID = frozenset({"search", "create", "history-type"})


class Operation(NamedTuple):
    """What an operation works on, and the letter that it needs of scope and role."""

    types: frozenset[str]
    letter: str
    is_named: bool = False
    """It also has to stand in the role's cell, and a person asks for it."""


# Everything that may be called; what is read or checked by the others is what the letter allows anyway.
OPERATIONS: Mapping[str, Operation] = {
    "$review": Operation(frozenset({"Task"}), "u", is_named=True),
    "$sign": Operation(frozenset({"DiagnosticReport"}), "u", is_named=True),
    "$everything": Operation(frozenset({"Patient", "Encounter"}), "r"),
    "$meta": Operation(roles.TYPES, "r"),
    "$validate": Operation(roles.TYPES, "c"),
}
_ON_TYPE = frozenset({"$validate"})
# What may be told over the WebSocket.
NOTIFIED = ("DiagnosticReport", "ImagingStudy", "Task")
# What an AI result consists of, as the viewer shows it beside the images.
RESULT = frozenset({"Task", "DiagnosticReport", "Observation", "Device"})
_SESSION_KINDS = frozenset({"dicomweb-read", "dicom-upload", "result-read", "websocket"})
_SESSION_OPERATIONS = frozenset({"$review", "$sign"})
# Parameters that search by other means than the type's own, or change what a request does.
REFUSED_PARAMETERS = frozenset(
    {"_filter", "_query", "_list", "_text", "_content", "_contained", "_containedType", "_pid"}
    | {"_getpages", "_getpagesoffset", "_bundletype", "_cascade", "_expunge", "_mdm", "_at"}
    | {"_compartmentLastUpdated", "_type", "_security", "_source", "_narrative"}
)
_OPEN = Decision(False, reason="open to everybody", confirm=False, kind="capabilities")


class _RefusedError(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Right(NamedTuple):
    """What an interaction asks for: a letter on a type, by one or more rows of the table."""

    type: str
    letter: str
    rows: tuple[str, ...]
    operation: str | None = None


def decide(principal: Principal | None, interaction: Interaction, *, now: int | None = None) -> Decision:
    """Scope x role x compartment for one interaction; `now` (seconds) is given by tests only."""
    moment = int(time.time()) if now is None else now
    try:
        # The CapabilityStatement is open and names no patient (SMART App Launch 2.2.0, Conformance).
        draft = _OPEN if interaction.kind == "capabilities" else _draft(principal, interaction, moment)
    except _RefusedError as refused:
        status, reason = REFUSALS[refused.code]
        return Decision(False, refused.code, reason, status, type=interaction.type, kind=interaction.kind)
    return replace(draft, allowed=True)


def _draft(principal: Principal | None, interaction: Interaction, now: int) -> Decision:
    caller = _valid(principal, interaction, now)
    right = _right(interaction, caller)
    grants = _within_scope(caller, right)
    cells = _within_role(caller, right)
    _check_operation(caller, right, now)
    if interaction.kind in _WRITES and interaction.parameters:
        # Conditional criteria are a search: who may not search may not learn what they match.
        _draft(caller, Interaction("search", interaction.type, parameters=interaction.parameters), now)
    words = frozenset[str]().union(*(cell.words for cell in cells))
    alternatives = _within_compartment(caller, right, grants, words)
    depends = _depends(right, alternatives, words)
    if depends == "target" and right.letter == "s" and not _names_target(interaction):
        raise _RefusedError("ERR_008")
    narrow, exact = _narrow(right, alternatives, words)
    return Decision(
        allowed=False,
        reason="covered by scope, role and compartment",
        type=right.type,
        letters=right.letter,
        narrow=narrow,
        confirm=_needs_confirm(right, interaction, alternatives, words),
        exact=exact and depends == "nothing",
        released_only=bool(words & {"released", "available"}),
        patients=_union(alternatives),
        alternatives=alternatives,
        organization=caller.organization,
        depends=depends,
        referenced_by=roles.REFERENCED_BY.get(right.type, ()) if depends == "referenced" else (),
        role=caller.role,
        kind=interaction.kind,
    )


def _valid(principal: Principal | None, interaction: Interaction, now: int) -> Principal:
    if principal is None:
        raise _RefusedError("ERR_001")
    if principal.expires <= now:
        raise _RefusedError("ERR_002")
    viewing = interaction.kind in _SESSION_KINDS or interaction.operation in _SESSION_OPERATIONS
    if principal.session and not viewing:
        raise _RefusedError("ERR_006")
    if any(name.split(":")[0] in REFUSED_PARAMETERS for name, _ in interaction.parameters):
        raise _RefusedError("ERR_008")
    return principal


def _right(interaction: Interaction, caller: Principal) -> _Right:
    """What is asked for; anything that is not understood is refused."""
    kind, type_, id_ = interaction.kind, interaction.type, interaction.id
    if id_ is not None and (not _ID.fullmatch(id_) or id_ in (".", "..")):
        raise _RefusedError("ERR_008")
    if kind == "operation":
        asked = OPERATIONS.get(interaction.operation or "")
        if asked is None or type_ not in asked.types or (id_ is None) != (interaction.operation in _ON_TYPE):
            raise _RefusedError("ERR_008")
        named = interaction.operation if asked.is_named else None
        return _Right(str(type_), asked.letter, roles.rows_of(str(type_)), named)
    if kind == "dicomweb-read" and type_ == "ImagingStudy":
        return _Right(type_, "r" if id_ else "s", roles.rows_of(type_))
    if kind == "result-read" and type_ in RESULT and id_:
        return _Right(str(type_), "r", roles.rows_of(str(type_)))
    if kind == "dicom-upload" and type_ in (None, "ImagingStudy"):
        return _Right("ImagingStudy", "c", (roles.UPLOAD,))
    if kind == "websocket" and type_ is None:
        type_ = next((known for known in NOTIFIED if _may_be_told(caller, known)), NOTIFIED[0])
        return _Right(type_, "r", roles.rows_of(type_))
    if kind == "websocket" and type_ in NOTIFIED and id_:
        return _Right(type_, "r", roles.rows_of(type_))
    if (
        kind not in _LETTERS
        or type_ is None
        or (id_ is None) != (kind in _WITHOUT_ID or _by_query(interaction))
    ):
        raise _RefusedError("ERR_008")
    return _Right(type_, _LETTERS[kind], roles.rows_of(type_))


def _by_query(interaction: Interaction) -> bool:
    """A conditional update, patch or delete has criteria in the place of an id."""
    return interaction.kind in ("update", "patch", "delete") and bool(interaction.parameters)


def _may_be_told(caller: Principal, type_: str) -> bool:
    in_role = any("r" in roles.rule(caller.role, row).letters for row in roles.rows_of(type_))
    return in_role and bool(_covering(caller, type_, "r"))


def _covering(caller: Principal, type_: str, letter: str) -> list[Grant]:
    contexts = ("system",) if caller.user_id is None else ("patient", "user")
    return [
        grant
        for grant in caller.scopes.grants
        if grant.context in contexts and grant.type in ("*", type_) and letter in grant.letters
    ]


def _within_scope(caller: Principal, right: _Right) -> list[Grant]:
    grants = _covering(caller, right.type, right.letter)
    if not grants:
        raise _RefusedError("ERR_003")
    return grants


def _within_role(caller: Principal, right: _Right) -> list[Rule]:
    cells = [roles.rule(caller.role, row) for row in right.rows]
    if right.operation:
        cells = [cell for cell in cells if right.operation in cell.operations]
    else:
        cells = [cell for cell in cells if right.letter in cell.letters]
    if not cells:
        raise _RefusedError("ERR_004")
    return cells


def _check_operation(caller: Principal, right: _Right, now: int) -> None:
    if right.operation is None:
        return
    if caller.user_id is None:
        raise _RefusedError("ERR_009")
    if right.operation == "$sign" and not now - SIGN_LOGIN_AGE_S <= caller.auth_time <= now:
        raise _RefusedError("ERR_007")


def _within_compartment(
    caller: Principal, right: _Right, grants: list[Grant], words: frozenset[str]
) -> tuple[Alternative, ...]:
    found = {
        Alternative(reach[0], grant.predicates)
        for grant in grants
        if (reach := _reach(caller, right, grant, words)) is not None
    }
    if not found:
        raise _RefusedError("ERR_005")
    return tuple(sorted(found, key=repr))


def _reach(
    caller: Principal, right: _Right, grant: Grant, words: frozenset[str]
) -> tuple[frozenset[str] | None] | None:
    """The patients that one scope reaches in this role's hands, in a tuple; None when it reaches nothing."""
    patients: frozenset[str] | None = None
    if "own" in words:
        if caller.patient is None:
            return None
        patients = frozenset({caller.patient})
    elif "shared" in words or "managed" in words:
        if caller.organization is None:
            return None
        patients = caller.shared if "shared" in words else None
    if grant.context != "patient":
        return (patients,)
    if caller.patient is None or right.type == "Group":
        return None
    if right.type in compartment.WITHOUT_PATIENT and patients is None:
        # One patient's context looks names up, it does not change the hospital's directory.
        return (None,) if right.letter in "rs" else None
    launched = frozenset({caller.patient})
    return (launched if patients is None else patients & launched,)


def _depends(right: _Right, alternatives: tuple[Alternative, ...], words: frozenset[str]) -> Depends:
    if "referenced" in words:
        return "referenced"
    narrowed = all(alternative.patients is not None for alternative in alternatives)
    return "target" if right.type == "Provenance" and narrowed else "nothing"


def _names_target(interaction: Interaction) -> bool:
    return any(name in ("target", "target:DiagnosticReport") for name, _ in interaction.parameters)


def _needs_confirm(
    right: _Right, interaction: Interaction, alternatives: tuple[Alternative, ...], words: frozenset[str]
) -> bool:
    """False only where no resource could fail: a read of what is all visible."""
    if right.letter in "cud" or words - {"own", "shared"} or right.type in ("Observation", "AuditEvent"):
        return True
    own = right.type == "Patient" and interaction.id is not None
    return not any(
        not way.predicates and (way.patients is None or (own and interaction.id in way.patients))
        for way in alternatives
    )


def _union(alternatives: tuple[Alternative, ...]) -> frozenset[str] | None:
    patients: set[str] = set()
    for alternative in alternatives:
        if alternative.patients is None:
            return None
        patients |= alternative.patients
    return frozenset(patients)


def _narrow(
    right: _Right, alternatives: tuple[Alternative, ...], words: frozenset[str]
) -> tuple[tuple[tuple[str, str], ...], bool]:
    """Search parameters that bound the search, and whether they find exactly what may be seen."""
    narrow: list[tuple[str, str]] = []
    patients = _union(alternatives)
    subject = compartment.SUBJECTS.get(right.type)
    exact = right.type not in ("Observation", "AuditEvent", "Device", "Group")
    if patients is not None and subject is not None:
        prefix = "" if right.type == "Patient" else "Patient/"
        # An optional subject cannot be searched for "this one or none"; confirm does that work.
        if not patients:
            narrow.append(("_id", NOBODY))
        elif not subject.optional:
            narrow.append((subject.parameter, ",".join(prefix + id_ for id_ in sorted(patients))))
    if "released" in words and right.type == "DiagnosticReport":
        narrow.append(("status", ",".join(released.RELEASED[right.type])))
    if "available" in words:
        narrow.append(("status", "available"))
    if len(alternatives) == 1:
        narrow += [(name, ",".join(values)) for name, values in alternatives[0].predicates]
    return tuple(narrow), exact and len(alternatives) == 1
