"""Who a client is at the token endpoint: exactly one way, as it is registered.

- public: its id alone (PKCE protects the code);
- confidential: secret by Basic or in the body, or a signed assertion;
- back end: a signed assertion (private_key_jwt), by registered keys or those at its address (`jwks_fetch`).
Sources: RFC 6749 2.3, RFC 7521 4.2, RFC 7523 3, SMART App Launch 2.2.0 "Asymmetric (public key) Client
Authentication" (RS384, ES384; `exp` at most five minutes; `jti` once).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from joserfc import jwt
from joserfc.jwk import GuestProtocol, Key, KeySet

from smart_auth import untrusted
from smart_auth.errors import OAuthError
from smart_auth.jwks_fetch import KeySets, KeysUnavailableError
from smart_auth.models import Client
from smart_auth.secret import matches
from smart_auth.store import Store

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS384", "ES384")
MAX_ASSERTION_S = 300
SKEW_S = 10
MAX_LENGTH = 8192
_HEADERS = frozenset({"alg", "kid", "typ"})

FindClient = Callable[[str], Awaitable[Client | None]]


class ClientAuthenticator:
    """Finds and authenticates the client of a token, revocation or introspection request."""

    def __init__(
        self,
        find: FindClient,
        store: Store,
        *,
        token_url: str,
        key_sets: KeySets | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._find = find
        self._key_sets = key_sets or KeySets()
        self._store = store
        self._token_url = token_url
        self._clock = clock

    async def authenticate(self, form: Mapping[str, str], authorization: str | None) -> Client:
        """The client, or `invalid_client` (one answer for every reason)."""
        ways = [
            authorization is not None,
            "client_secret" in form,
            "client_assertion" in form or "client_assertion_type" in form,
        ]
        if sum(ways) > 1:
            raise OAuthError("invalid_request", "one way of client authentication only")
        if ways[0]:
            client_id, secret = _basic(authorization or "")
            if form.get("client_id", client_id) != client_id:
                raise _invalid()
            return await self._by_secret(client_id, secret)
        if ways[1]:
            return await self._by_secret(form.get("client_id", ""), form["client_secret"])
        if ways[2]:
            return await self._by_assertion(form)
        client = await self._find(form.get("client_id", ""))
        if client is None or client.kind != "public":
            raise _invalid()
        return client

    async def _by_secret(self, client_id: str, secret: str) -> Client:
        client = await self._find(client_id)
        if client is None or client.secret_hash is None:
            raise _invalid()
        previous = (
            client.previous_secret_hash if (client.previous_secret_until or 0) > self._clock() else None
        )
        if not matches(secret, client.secret_hash) and not (previous and matches(secret, previous)):
            raise _invalid()
        return client

    async def _by_assertion(self, form: Mapping[str, str]) -> Client:
        assertion = form.get("client_assertion", "")
        if form.get("client_assertion_type") != ASSERTION_TYPE or len(assertion) > MAX_LENGTH:
            raise _invalid()
        client_id = _unverified_issuer(assertion)
        if form.get("client_id", client_id) != client_id:
            raise _invalid()
        client = await self._find(client_id)
        if client is None or (client.jwks is None and client.jwks_uri is None):
            raise _invalid()
        claims = self._verified(assertion, await self._keys(client, assertion))
        now = self._clock()
        expires, issued = claims.get("exp"), claims.get("iat")
        jti = claims.get("jti")
        if (
            claims.get("iss") != client.id
            or claims.get("sub") != client.id
            or not self._is_audience(claims.get("aud"))
            or not isinstance(expires, int)
            or not now - SKEW_S < expires <= now + MAX_ASSERTION_S + SKEW_S
            or not isinstance(jti, str)
            or not 0 < len(jti) <= 255
            or (issued is not None and (not isinstance(issued, int) or issued > now + SKEW_S))
            or (claims.get("nbf") is not None and not _is_past(claims["nbf"], now))
        ):
            raise _invalid()
        since = issued if issued is not None else expires - MAX_ASSERTION_S
        if since <= await self._store.remembers_since():
            # A Redis that lost its memory cannot tell whether this one was used (design, section 6).
            raise _invalid()
        if not await self._store.use_once(
            "assertion", f"{client.id} {jti}", lifetime_s=int(expires - now) + SKEW_S + 1
        ):
            raise _invalid()
        return client

    def _is_audience(self, audience: Any) -> bool:
        return audience == self._token_url or (isinstance(audience, list) and self._token_url in audience)

    async def _keys(self, client: Client, assertion: str) -> KeySet:
        if client.jwks_uri is None:
            return KeySet.import_key_set(json.loads(client.jwks or "{}"))
        try:
            return await self._key_sets.get(client.jwks_uri, _unverified(assertion, 0).get("kid"))
        except KeysUnavailableError as error:
            raise _invalid() from error

    @staticmethod
    def _verified(assertion: str, keys: KeySet) -> dict[str, Any]:
        def find(token: GuestProtocol) -> Key:
            header = token.headers()
            found = [key for key in keys.keys if key.kid == header.get("kid")]
            if len(found) != 1 or not set(header) <= _HEADERS:
                raise ValueError("no such key")
            return found[0]

        try:
            return dict(jwt.decode(assertion, find, algorithms=list(ALGORITHMS)).claims)
        except untrusted.UNREADABLE as error:
            raise _invalid() from error


def _invalid() -> OAuthError:
    return OAuthError("invalid_client", "client authentication failed", 401)


def _is_past(value: object, now: float) -> bool:
    return isinstance(value, int) and value <= now + SKEW_S


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except ValueError as error:
        raise _invalid() from error
    name, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise _invalid()
    # RFC 6749 2.3.1: both parts are form-encoded before they are joined.
    return unquote_plus(name), unquote_plus(secret)


def _unverified_issuer(assertion: str) -> str:
    """Which client says it is; only to find the keys that prove it."""
    return str(_unverified(assertion, 1).get("iss", ""))


def _unverified(assertion: str, part: int) -> dict[str, Any]:
    """Header (0) or claims (1), before anything is proved."""
    try:
        text = assertion.split(".")[part]
        value = untrusted.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (IndexError, ValueError) as error:
        raise _invalid() from error
    if not isinstance(value, dict):
        raise _invalid()
    return value
