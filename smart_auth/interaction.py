"""The question (who wants to do what) and the answer of the policy: plain values, no behaviour that decides.

Sources: FHIR R4 http.html (interactions); SMART App Launch 2.2.0, "Scopes and Launch Context".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from smart_auth.scopes import ScopeSet

Role = Literal["admin", "doctor", "rib", "lab", "nurse", "patient", "external"]

Kind = Literal[
    "read",
    "vread",
    "search",
    "create",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "capabilities",
    "operation",
    "batch",
    "transaction",
    "dicomweb-read",
    "dicom-upload",
    "result-read",
    "websocket",
]


@dataclass(frozen=True)
class Principal:
    """A verified caller. Only `tokens.Verifier`, `session.Sessions` and `tickets.Tickets` make one."""

    user_id: str | None
    """Login of a person; None for a back end."""
    fhir_user: str | None
    """`Practitioner/x` or `Patient/x`."""
    role: Role
    scopes: ScopeSet
    client_id: str
    jti: str
    """Identity of the token (or of the viewer session): the thread through the audit trail."""
    patient: str | None = None
    """Patient id of the launch context; a patient's own id for role `patient`."""
    organization: str | None = None
    """Organization id that a caller of role `external` acts for."""
    auth_time: int = 0
    """When the person last proved who they are (seconds since 1970)."""
    expires: int = 0
    session: bool = False
    """True for the viewer's cookie, which is good for DICOMweb, STOW, the results of an open study, $review,
    $sign and the WebSocket only."""
    generation: int = 0
    """Generation of the login; a change of its rights makes a new one."""
    issued: int = 0
    """When the token was issued (seconds since 1970)."""
    grant_id: str | None = None
    """The grant (family of tokens) that this token came from."""
    shared: frozenset[str] = frozenset()
    """Patient ids that Groups share with `organization` now; the facade fills them in before `decide`."""

    def with_shared(self, patients: frozenset[str]) -> Principal:
        """The same caller with the shared patients that the Groups give it at this moment."""
        return replace(self, shared=patients)


@dataclass(frozen=True)
class Interaction:
    """One request, one batch entry or one notification, as the facade understood it.

    `parameters` of a create, update, patch or delete are its conditional criteria (If-None-Exist or the
    query) and nothing else: they are a search and need the right to search. `_format` never comes here.
    `dicomweb-read` has type ImagingStudy and an id (instance level) or none (QIDO of studies).
    `result-read` is a read of a part of an AI result (`policy.RESULT`) beside the images of its study.
    `batch` and `transaction` are never decided: their entries are, each like a request of its own.
    `websocket` without a type is the connection; with type and id it is the delivery of one message.
    """

    kind: Kind
    type: str | None = None
    id: str | None = None
    version: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    operation: str | None = None
    """Name of an operation, with the dollar sign: `$review`."""
    body: Mapping[str, Any] | None = None


Depends = Literal["nothing", "referenced", "target"]


@dataclass(frozen=True)
class Alternative:
    """One way to be allowed: a scope that covers the interaction, with the patients it reaches."""

    patients: frozenset[str] | None
    """None: not bound to patients."""
    predicates: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Granular part of the scope: every (parameter, any of these tokens) holds for the resource."""


@dataclass(frozen=True)
class Decision:
    """What `decide` answers. Only `allowed` grants, and only together with `confirm` where it says so."""

    allowed: bool
    code: str | None = None
    """Product code of a refusal (ERR_001-099); None when allowed."""
    reason: str = ""
    """For log and audit; safe, in English, names no instance."""
    status: int = 200
    """HTTP status of a refusal: 401 or 403. What an instance decides (`confirm` says no) is 404."""
    type: str | None = None
    letters: str = ""
    """The SMART letter that the interaction needs (a conditional write was decided as a search as well)."""
    narrow: tuple[tuple[str, str], ...] = ()
    """Search parameters to AND. They bound the search; `confirm` still grants entry by entry."""
    exact: bool = False
    """True: a search with `narrow` finds exactly what may be seen, so its total may be shown."""
    confirm: bool = True
    """True: every resource (old and new of a write, both of a vread) has to pass `confirm`."""
    released_only: bool = False
    """True: drafts (reports, AI observations, SEG series, incomplete studies) do not exist for the caller."""
    patients: frozenset[str] | None = frozenset()
    """Union of the patients that the caller may reach here; None: all."""
    alternatives: tuple[Alternative, ...] = ()
    organization: str | None = None
    depends: Depends = "nothing"
    """`referenced`: confirm needs `linked=True`, which says that something visible refers to the resource;
    `target`: the same for the resources that it points at (Provenance.target)."""
    referenced_by: tuple[tuple[str, str], ...] = ()
    """For `referenced`: (type, search parameter) pairs in which a visible reference may be looked for."""
    role: Role | None = None
    kind: Kind | None = None
