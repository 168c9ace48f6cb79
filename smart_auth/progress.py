"""How far an authorization request has come, and the one function that says what comes next.

login > launch > patient > encounter > consent > code. Each step asks the state itself, never the page that
the person came from, so no step can be skipped and each can be repeated. What was done in one login counts
for that login only. Sources: SMART App Launch 2.2.0 "Scopes and Launch Context" (launch/patient,
launch/encounter, a patient for patient/ scopes); OpenID Connect Core 3.1.2.1 and 3.1.2.4; RFC 8252 8.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast

from smart_auth import scopes
from smart_auth.authorize import AuthorizationRequest, askable, in_context
from smart_auth.interaction import Role
from smart_auth.models import Client
from smart_auth.scopes import ScopeSet
from smart_auth.session import Session, own_patient

Step = Literal["login", "launch", "patient", "encounter", "consent", "code"]
_WITH_PATIENT = frozenset({"launch/patient", "launch/encounter"})


@dataclass(frozen=True)
class Consented:
    """What a person was asked for an app, and what they allowed."""

    asked: ScopeSet
    scope: ScopeSet


@dataclass(frozen=True)
class Progress:
    """One kept request: what the app asked, and what has been chosen since."""

    asked: AuthorizationRequest
    before: str | None
    """The login that was there when the app asked (it may have made the launch)."""
    since: int
    """When the app asked (seconds since 1970): `prompt=login` needs a login after that."""
    sid: str | None = None
    """The login in which the rest was chosen."""
    launched: bool = False
    patient: str | None = None
    encounter: str | None = None
    without_encounter: bool = False
    allowed: str | None = None
    """The scope that the person allowed on the consent page of this request."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """The rest of the launch context, as the token response will say it."""

    def to_json(self) -> dict[str, Any]:
        """For the store."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Progress:
        """Back from the store."""
        return cls(**{**value, "asked": AuthorizationRequest(**value["asked"])})

    def within(self, session: Session) -> Progress:
        """The same request in this login: what another login chose is forgotten."""
        if self.sid == session.sid:
            return self
        own = own_patient(session.role, session.fhir_user)
        return Progress(self.asked, self.before, self.since, sid=session.sid, patient=own)

    def choose(self, **changes: Any) -> Progress:
        """The same request with something chosen. Another patient takes encounter and consent back."""
        if "patient" in changes:
            changes = {"encounter": None, "without_encounter": False, "allowed": None} | changes
        return replace(self, **changes)


@dataclass(frozen=True)
class Approved:
    """A request that has passed every step; made by `approve` alone. Codes are issued for nothing else."""

    asked: AuthorizationRequest
    granted: ScopeSet
    patient: str | None
    encounter: str | None
    context: Mapping[str, Any]


def needs_login(progress: Progress, session: Session, now: int) -> bool:
    """Whether this login is too old for the request, or the one that `prompt=login` does not accept.

    The session alone does not tell: an app's POST brings no cookie (SameSite=Lax), the page after it does.
    Who has logged in since the app asked is not sent back when `max_age` passes while they read and choose.
    """
    asked = progress.asked
    is_old = session.sid == progress.before or session.auth_time < progress.since
    if asked.login_again and is_old:
        return True
    return asked.max_age is not None and is_old and now - session.auth_time > asked.max_age


def may_be_another(asked: AuthorizationRequest, client: Client) -> bool:
    """Whether any program on the person's machine can be this app: no secret, and an answer that stays there.

    A remembered answer would be that program's too (RFC 8252 section 8.6).
    """
    return client.kind == "public" and not asked.redirect_uri.startswith("https://")


def offered(progress: Progress, session: Session, client: Client) -> ScopeSet:
    """What the person can allow: registration, role and the context that was chosen."""
    scope = askable(progress.asked, client, cast(Role, session.role))
    return in_context(
        scope, launched=progress.launched, patient=progress.patient, encounter=progress.encounter
    )


def next_step(
    progress: Progress, session: Session | None, client: Client, consented: Consented | None, now: int
) -> Step:
    """The first step that has not been done."""
    if session is None or progress.sid != session.sid or needs_login(progress, session, now):
        return "login"
    if progress.asked.launch is not None and not progress.launched:
        return "launch"
    wanted = askable(progress.asked, client, cast(Role, session.role))
    is_bound = bool(wanted.words & _WITH_PATIENT) or any(
        grant.context == "patient" for grant in wanted.grants
    )
    if is_bound and progress.patient is None:
        return "patient"
    if "launch/encounter" in wanted.words and progress.encounter is None and not progress.without_encounter:
        return "encounter"
    if not client.trusted and _asks_again(progress, client, consented, offered(progress, session, client)):
        return "consent"
    return "code"


def approve(
    progress: Progress, session: Session | None, client: Client, consented: Consented | None, now: int
) -> Approved | None:
    """The request as it may be granted; None unless every step is done and something is left to grant."""
    if session is None or next_step(progress, session, client, consented, now) != "code":
        return None
    granted = offered(progress, session, client)
    if not client.trusted:
        allowed = scopes.parse(progress.allowed) if progress.allowed is not None else None
        if allowed is None and consented is not None:
            allowed = consented.scope
        if allowed is None:
            return None
        granted = granted & allowed
    if not granted.grants and "openid" not in granted.words:
        return None
    is_told = bool(granted.words & (_WITH_PATIENT | {"launch"}))
    is_bound = is_told or any(grant.context == "patient" for grant in granted.grants)
    tells_encounter = bool(granted.words & {"launch", "launch/encounter"})
    return Approved(
        progress.asked,
        granted,
        # A patient's own token names the patient whatever was asked: it is what bounds the role.
        progress.patient if is_bound or session.role == "patient" else None,
        progress.encounter if tells_encounter else None,
        progress.context if is_told else {},
    )


def _asks_again(progress: Progress, client: Client, consented: Consented | None, offer: ScopeSet) -> bool:
    if progress.allowed is not None:
        return not offer.covers(scopes.parse(progress.allowed))
    if progress.asked.consent_again or may_be_another(progress.asked, client):
        return True
    return consented is None or not consented.asked.covers(offer)
