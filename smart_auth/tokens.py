"""Access tokens (RFC 9068, ES256) and id tokens (OpenID Connect Core 2, RS256): issue and verify.

The signature check is cached, rights are not: every verification asks the revocation feed. RFC 8725 is kept:
one algorithm, explicit `typ`, our own keys only, and no header may name another key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from joserfc import jwt
from joserfc.jwk import GuestProtocol, Key

from smart_auth import scopes, untrusted
from smart_auth.errors import InvalidTokenError
from smart_auth.interaction import Principal, Role
from smart_auth.key_ring import KeyRing
from smart_auth.keys import Keys
from smart_auth.revocations import Feed
from smart_auth.roles import ROLES
from smart_auth.secret import new_id

MAX_TOKEN = 8192  # our longest token is about 2 kB
SKEW_S = 5  # clocks of two facade hosts
CACHE = 4096
_HEADERS = frozenset({"alg", "kid", "typ"})


@dataclass(frozen=True)
class Subject:
    """For whom a token is made."""

    client_id: str
    role: Role
    scope: str
    user_id: str | None = None
    generation: int = 0
    fhir_user: str | None = None
    patient: str | None = None
    organization: str | None = None
    grant_id: str | None = None
    auth_time: int = 0


@dataclass(frozen=True)
class _Checked:
    """A token whose signature and fixed claims are right; time and revocation are asked each time."""

    principal: Principal
    not_before: int
    kid: str


class Issuer:
    """Makes tokens."""

    def __init__(
        self, keys: Keys, issuer: str, audience: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    def access_token(self, subject: Subject, lifetime_s: int, *, after: int = 0) -> tuple[str, str]:
        """The token and its `jti` (RFC 9068 section 2), issued later than `after`."""
        now = max(int(self._clock()), after + 1)
        jti = new_id()
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject.user_id or subject.client_id,
            "client_id": subject.client_id,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime_s,
            "jti": jti,
            "scope": subject.scope,
            "role": subject.role,
            "gen": subject.generation,
        }
        optional = {
            "uid": subject.user_id,
            "auth_time": subject.auth_time or None,
            "fhirUser": subject.fhir_user,
            "patient": subject.patient,
            "org": subject.organization,
            "gid": subject.grant_id,
        }
        claims |= {name: value for name, value in optional.items() if value is not None}
        signing = self._keys.access_ring.signing
        header = {"alg": "ES256", "typ": "at+jwt", "kid": signing.kid}
        return jwt.encode(header, claims, signing.key, algorithms=["ES256"]), jti

    def id_token(self, subject: Subject, *, nonce: str | None, lifetime_s: int, words: frozenset[str]) -> str:
        """The id token of a login (OpenID Connect Core 2; SMART App Launch 2.2.0, `fhirUser`)."""
        now = int(self._clock())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": subject.client_id,
            "sub": subject.user_id,
            "iat": now,
            "exp": now + lifetime_s,
            "auth_time": subject.auth_time,
        }
        if nonce is not None:
            claims["nonce"] = nonce
        if words & {"fhirUser", "profile"} and subject.fhir_user:
            claims["fhirUser"] = f"{self._audience}/{subject.fhir_user}"
        if "profile" in words and subject.fhir_user:
            claims["profile"] = claims["fhirUser"]
        signing = self._keys.id_ring.signing
        header = {"alg": "RS256", "typ": "JWT", "kid": signing.kid}
        return jwt.encode(header, claims, signing.key, algorithms=["RS256"])


class Verifier:
    """Turns a bearer token into a Principal, or raises."""

    def __init__(
        self,
        keys: Keys,
        issuer: str,
        audience: str,
        feed: Feed,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._feed = feed
        self._clock = clock
        self._checked = lru_cache(maxsize=CACHE)(self._check_signature)

    def verify(self, token: str) -> Principal:
        """The caller; InvalidTokenError, or StaleRevocationsError when nothing can be trusted."""
        return self.describe(token)[0]

    def describe(self, token: str) -> tuple[Principal, int]:
        """The same, and when the token was issued."""
        if len(token) > MAX_TOKEN:
            raise InvalidTokenError
        checked = self._checked(token)
        principal = checked.principal
        now = self._clock()
        # The key is asked for each time: one that was taken away proves nothing, cached or not.
        if not checked.not_before - SKEW_S <= now < principal.expires or not self._find(checked.kid):
            raise InvalidTokenError
        self.check(principal)
        return principal, checked.not_before

    def id_token_claims(self, token: str) -> Mapping[str, Any]:
        """Claims of an id token that we issued, over or not (a hint, never a credential)."""
        try:
            read = jwt.decode(token[:MAX_TOKEN], _key_finder(self._keys.id_ring), algorithms=["RS256"])
        except untrusted.UNREADABLE as error:
            raise InvalidTokenError from error
        if read.header.get("typ") != "JWT" or read.claims.get("iss") != self._issuer:
            raise InvalidTokenError
        return read.claims

    def _find(self, kid: str) -> bool:
        return self._keys.access_ring.find(kid) is not None

    def learn(self) -> None:
        """Read the revocations now: who is newer than the last poll would be refused with a fresh token."""
        self._feed.refresh()

    def check(self, principal: Principal) -> None:
        """Raise unless a caller verified before still has their rights (open connections ask again)."""
        if principal.expires <= self._clock():
            raise InvalidTokenError
        self._feed.check(
            client_id=None if principal.session else principal.client_id,
            user_id=principal.user_id,
            generation=principal.generation,
            keys=(
                ("session" if principal.session else "token", principal.jti),
                ("grant", principal.grant_id or ""),
            ),
            issued=principal.issued,
        )

    def _check_signature(self, token: str) -> _Checked:
        """Everything of a token that never changes."""
        try:
            read = jwt.decode(token, _key_finder(self._keys.access_ring), algorithms=["ES256"])
        except untrusted.UNREADABLE as error:
            raise InvalidTokenError from error
        header, claims = read.header, read.claims
        if (
            header.get("typ") != "at+jwt"
            or claims.get("iss") != self._issuer
            or claims.get("aud") != self._audience
            or claims.get("role") not in ROLES
        ):
            raise InvalidTokenError
        try:
            return _Checked(_principal(claims), int(claims["nbf"]), str(header["kid"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidTokenError from error


def _key_finder(ring: KeyRing) -> Callable[[GuestProtocol], Key]:
    """Our own keys only, by `kid`; a header that names anything else is refused (RFC 8725 3.10)."""

    def find(token: GuestProtocol) -> Key:
        header = token.headers()
        key = ring.find(header.get("kid"))
        if key is None or not set(header) <= _HEADERS:
            raise ValueError("no such key")
        return key.key

    return find


def _principal(claims: Mapping[str, Any]) -> Principal:
    role = cast(Role, claims["role"])
    return Principal(
        user_id=claims.get("uid"),
        fhir_user=claims.get("fhirUser"),
        role=role,
        scopes=scopes.parse(str(claims["scope"])),
        client_id=str(claims["client_id"]),
        jti=str(claims["jti"]),
        patient=claims.get("patient"),
        organization=claims.get("org"),
        auth_time=int(claims.get("auth_time", 0)),
        expires=int(claims["exp"]),
        generation=int(claims["gen"]),
        issued=int(claims["nbf"]),
        grant_id=claims.get("gid"),
    )
