"""The authorization request: what an app may ask for, and in which way it gets its answer.

Sources: RFC 6749 4.1.1-4.1.2, RFC 7636 (PKCE, S256 only), RFC 8707 (`resource`), RFC 9207 (`iss`), RFC 9700
4.1-4.7, SMART App Launch 2.2.0 "Obtain authorization code" (`aud`, `state`, `launch`), OpenID Connect Core
3.1.2.1 (prompt, max_age).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.rfc7636.challenge import CODE_CHALLENGE_PATTERN

from smart_auth import scopes
from smart_auth.clients import allows_redirect
from smart_auth.errors import OAuthError, PageError
from smart_auth.interaction import Role
from smart_auth.models import Client
from smart_auth.roles import within_role
from smart_auth.scopes import ScopeSet

MAX_VALUE = 4096


@dataclass(frozen=True)
class AuthorizationRequest:
    """A request whose client and redirect address are right; everything else was checked as well."""

    client_id: str
    redirect_uri: str
    scope: str
    state: str
    challenge: str
    nonce: str | None = None
    login_again: bool = False
    consent_again: bool = False
    silent: bool = False
    max_age: int | None = None
    launch: str | None = None
    """Identity of an EHR launch, as the app got it at its launch address."""

    def to_json(self) -> dict[str, Any]:
        """For the store."""
        return asdict(self)


class RedirectError(OAuthError):
    """An error that the app is told by redirect."""

    def __init__(
        self, client_id: str, redirect_uri: str, state: str | None, error: str, description: str
    ) -> None:
        super().__init__(error, description)
        self.client_id = client_id
        self.redirect_uri = redirect_uri
        self.state = state


def client_of(parameters: Sequence[tuple[str, str]]) -> str:
    """The client that is named, exactly once."""
    named = [value for name, value in parameters if name == "client_id"]
    if len(named) != 1:
        raise PageError("client_id is missing or given twice")
    return named[0]


def is_this_server(resource: str | None, audience: str) -> bool:
    """Whether an RFC 8707 `resource`, if there is one, is the one server that our tokens are for."""
    return resource is None or resource.rstrip("/") == audience


def read(
    parameters: Sequence[tuple[str, str]], client: Client | None, *, audience: str
) -> AuthorizationRequest:
    """Check a request. PageError: the app cannot be told (RFC 6749 4.1.2.1); RedirectError: it is told."""
    if client is None or client.kind == "backend":
        raise PageError("the app is not registered")
    given: dict[str, str] = {}
    for name, value in parameters:
        if name in given and name in ("client_id", "redirect_uri"):
            raise PageError(f"{name} is given twice")
        given.setdefault(name, value)
    redirect_uri = given.get("redirect_uri", "")
    if not allows_redirect(client, redirect_uri):
        raise PageError("the redirect address is not registered for this app")
    state = given.get("state") or None
    if state is not None and len(state) > MAX_VALUE:
        state = None  # what is too long is not sent back either; it is refused below

    def refuse(error: str, description: str) -> RedirectError:
        return RedirectError(client.id, redirect_uri, state, error, description)

    if len({name for name, _ in parameters}) != len(parameters):
        raise refuse("invalid_request", "a parameter is given twice")
    if any(len(value) > MAX_VALUE for _, value in parameters):
        raise refuse("invalid_request", "a parameter is too long")
    if given.get("response_type") != "code":
        raise refuse("unsupported_response_type", "response_type is code")
    if state is None:
        raise refuse("invalid_request", "state is required")
    if "request" in given or "request_uri" in given:
        raise refuse("request_not_supported", "request objects are not supported")
    if given.get("response_mode", "query") != "query":
        raise refuse("invalid_request", "response_mode is query")
    challenge = given.get("code_challenge", "")
    if given.get("code_challenge_method") != "S256" or not CODE_CHALLENGE_PATTERN.match(challenge):
        raise refuse("invalid_request", "PKCE with S256 is required")
    if given.get("aud", "").rstrip("/") != audience:
        raise refuse("invalid_request", "aud names this FHIR server")
    if not is_this_server(given.get("resource"), audience):
        raise refuse("invalid_target", "resource names this FHIR server")
    scope = given.get("scope", "")
    prompts = frozenset(given.get("prompt", "").split())
    max_age = given.get("max_age")
    if max_age is not None and not (max_age.isascii() and max_age.isdigit() and len(max_age) < 9):
        raise refuse("invalid_request", "max_age is a number of seconds")
    if "none" in prompts and len(prompts) > 1:
        raise refuse("invalid_request", "prompt none stands alone")
    requested = scopes.parse(scope)
    if not requested.grants and not requested.words:
        raise refuse("invalid_scope", "no scope that is supported")
    launch = given.get("launch") or None
    if launch is not None and "launch" not in requested.words:
        raise refuse("invalid_scope", "a launch needs the scope launch")
    return AuthorizationRequest(
        client_id=client.id,
        redirect_uri=redirect_uri,
        scope=scope,
        state=state,
        challenge=challenge,
        nonce=given.get("nonce"),
        login_again="login" in prompts,
        consent_again="consent" in prompts,
        silent="none" in prompts,
        max_age=None if max_age is None else int(max_age),
        launch=launch,
    )


def askable(asked: AuthorizationRequest, client: Client, role: Role) -> ScopeSet:
    """What client registration and role leave of the requested scope, before anything is chosen."""
    return within_role(scopes.parse(asked.scope) & scopes.parse(client.scope), role)


def in_context(scope: ScopeSet, *, launched: bool, patient: str | None, encounter: str | None) -> ScopeSet:
    """What of a scope makes sense with this patient and encounter: a launch word that has no answer goes."""
    without: set[str] = set()
    if not launched:
        without.add("launch")
    if patient is None:
        without.add("launch/patient")
    if encounter is None:
        without.add("launch/encounter")
    grants = frozenset(
        grant
        for grant in scope.grants
        if grant.context == "user" or (grant.context == "patient" and patient is not None)
    )
    return ScopeSet(grants, scope.words - without - scopes.RIGHTS)


def answer_uri(redirect_uri: str, answer: dict[str, str]) -> str:
    """The redirect address with the answer in its query."""
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(answer)}"
