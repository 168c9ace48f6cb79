"""Access tokens: what is verified, and every forged or stale one that is refused."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import text

from smart_auth import clients, users
from smart_auth.database import Database
from smart_auth.errors import InvalidTokenError, StaleRevocationsError
from smart_auth.keys import Keys
from smart_auth.revocations import Feed, revoke
from smart_auth.tokens import Issuer, Subject, Verifier
from tests.smart_auth.flow import ORIGIN, signed_with_public_key
from tests.smart_auth.quick import tables_in

ISSUER, AUDIENCE = "http://localhost:8080/auth", "http://localhost:8080/fhir"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Site:
    """Keys, one user, one client, issuer and verifier."""

    def __init__(self, directory: Path, keys: Keys) -> None:
        self.keys = keys
        self.clock = Clock()
        self.database = Database(tables_in(directory))
        clients.register(
            self.database,
            "app",
            kind="public",
            name="A",
            scope="user/*.rs",
            redirect_uris=["https://app.example/cb"],
        )
        invitation = users.create(self.database, "demo-doctor", "doctor")
        self.user = users.accept(self.database, invitation.code, "a long enough sentence", length=12)
        self.feed = Feed(self.database, poll_s=0.05, stale_s=1.0)
        self.feed.refresh()
        self.issuer = Issuer(keys, ISSUER, AUDIENCE, clock=self.clock)
        self.verifier = Verifier(keys, ISSUER, AUDIENCE, self.feed, clock=self.clock)

    def subject(self, **changes: Any) -> Subject:
        """The person with the app."""
        values: dict[str, Any] = {
            "client_id": "app",
            "role": "doctor",
            "scope": "user/Patient.rs",
            "user_id": self.user.id,
            "generation": self.user.generation,
            "grant_id": "g1",
        }
        return Subject(**(values | changes))

    def token(self, **changes: Any) -> str:
        """A good token."""
        return self.issuer.access_token(self.subject(**changes), 3600)[0]

    def forged(self, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        """A token of our form with other claims, header or key."""
        good = json.loads(_decode(self.token().split(".")[1]))
        head = {"alg": "ES256", "typ": "at+jwt", "kid": self.keys.access_kid} | (header or {})
        payload = {name: value for name, value in (good | claims).items() if value is not None}
        return jwt.encode(head, payload, key or self.keys.access, algorithms=["ES256"], default_type=None)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def site(tmp_path: Path, keys: Keys) -> Iterator[Site]:
    site = Site(tmp_path, keys)
    yield site
    site.feed.stop()
    site.database.close()


def test_a_good_token_is_its_caller(site: Site) -> None:
    principal = site.verifier.verify(site.token(patient="p1", fhir_user="Practitioner/1"))
    assert (principal.user_id, principal.client_id, principal.role) == (site.user.id, "app", "doctor")
    assert (principal.patient, principal.grant_id, principal.session) == ("p1", "g1", False)
    assert str(principal.scopes) == "user/Patient.rs"
    header = json.loads(_decode(site.token().split(".")[0]))
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")


def test_forged_tokens_are_refused(site: Site) -> None:
    stranger = ECKey.generate_key("P-256")
    body = site.token().split(".")[1]
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
    forged = [
        site.forged(key=stranger),
        signed_with_public_key(
            {"alg": "HS256", "typ": "at+jwt", "kid": site.keys.access_kid},
            json.loads(_decode(body)),
            site.keys.access.as_pem(private=False),
            "sha256",
        ),
        f"{none}.{body}.",
        site.forged({"typ": "JWT"}),
        site.forged({"kid": "unknown"}),
        site.forged({"jku": "https://evil.example/jwks"}),
        site.forged({"x5u": "https://evil.example/x5u"}),
        site.forged({"jwk": stranger.as_dict(private=False)}),
        site.forged(iss="http://localhost:8080/other"),
        site.forged(aud="http://localhost:8080/other"),
        site.forged(aud=[AUDIENCE, "http://evil.example"]),
        site.forged(aud=None),
        site.forged(role="king"),
        site.forged(role=None),
        site.forged(exp=None),
        site.forged(exp="never"),
        site.forged(nbf=None),
        site.forged(jti=None),
        site.forged(gen=None),
        site.forged(client_id="unknown"),
        site.forged(uid="unknown"),
        site.forged(gen=0),
        site.issuer.id_token(site.subject(), nonce=None, lifetime_s=60, words=frozenset()),
        site.token()[:-2],
        "",
        "a.b.c",
        "é",
        "x" * 10000,
    ]
    for token in forged:
        with pytest.raises(InvalidTokenError):
            site.verifier.verify(token)
    site.verifier.verify(site.forged())


def test_a_hint_is_an_id_token_of_ours_and_nothing_else(site: Site) -> None:
    signing = site.keys.id_ring.signing
    good = {"alg": "RS256", "typ": "JWT", "kid": signing.kid}
    claims = {"iss": f"{ORIGIN}/auth", "aud": "app", "sub": site.user.id}

    def hint(key: Any = None, iss: str = claims["iss"], **header: str) -> str:
        given = claims | {"iss": iss}
        return jwt.encode(good | header, given, key or signing.key, algorithms=["RS256"], default_type=None)

    assert site.verifier.id_token_claims(hint())["aud"] == "app"
    stranger = RSAKey.generate_key(2048)
    for forged in (
        hint(typ="at+jwt"),
        hint(typ="logout+jwt"),
        hint(iss=f"{ORIGIN}/other"),
        hint(kid="unknown"),
        hint(jku="https://evil.example/jwks"),
        hint(key=stranger),
        site.token(),
    ):
        with pytest.raises(InvalidTokenError):
            site.verifier.id_token_claims(forged)


def test_a_token_ends_in_time_even_when_it_is_cached(site: Site) -> None:
    token = site.token()
    site.verifier.verify(token)
    site.clock.now += 3599
    site.verifier.verify(token)
    site.clock.now += 1
    with pytest.raises(InvalidTokenError):
        site.verifier.verify(token)


def test_a_token_of_the_future_is_refused_beyond_the_skew(site: Site) -> None:
    token = site.token()
    site.clock.now -= 4
    site.verifier.verify(token)
    site.clock.now -= 10
    with pytest.raises(InvalidTokenError):
        site.verifier.verify(token)


def test_what_was_revoked_is_refused_although_the_signature_is_cached(site: Site) -> None:
    for kind in ("token", "grant"):
        token = site.token(grant_id=f"grant-{kind}")
        principal = site.verifier.verify(token)
        value = principal.jti if kind == "token" else principal.grant_id
        with site.database.write() as session:
            revoke(session, kind, str(value), expires_at=int(time.time()) + 60)
        site.feed.refresh()
        with pytest.raises(InvalidTokenError):
            site.verifier.verify(token)
        with pytest.raises(InvalidTokenError):
            site.verifier.check(principal)
    site.verifier.verify(site.token())


def test_an_old_state_of_revocations_refuses_everything(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = site.token()
    site.verifier.verify(token)
    with site.database.write() as session:
        session.execute(text("ALTER TABLE epoch RENAME TO lost"))
    later = time.monotonic() + 1.5
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(StaleRevocationsError):
        site.verifier.verify(token)
    with site.database.write() as session:
        session.execute(text("ALTER TABLE lost RENAME TO epoch"))
    # The first check after the trouble reads by itself.
    site.verifier.verify(token)


def test_a_state_that_was_never_read_refuses_everything(site: Site) -> None:
    fresh = Verifier(site.keys, ISSUER, AUDIENCE, Feed(site.database), clock=site.clock)
    with site.database.write() as session:
        session.execute(text("ALTER TABLE epoch RENAME TO lost"))
    with pytest.raises(StaleRevocationsError):
        fresh.verify(site.token())


def test_another_servers_revocations_are_read_by_the_thread_alone(site: Site) -> None:
    site.database.is_sqlite = False
    fresh = Verifier(site.keys, ISSUER, AUDIENCE, Feed(site.database), clock=site.clock)
    with pytest.raises(StaleRevocationsError):
        fresh.verify(site.token())


def test_the_feed_learns_of_another_process_and_goes_stale_without_the_database(
    site: Site, tmp_path: Path
) -> None:
    site.feed.start()
    token = site.token()
    site.verifier.verify(token)
    other = Database(tables_in(tmp_path))
    users.set_disabled(other, site.user.id, disabled=True, actor=None)
    _wait_for(lambda: _refused(site, token, InvalidTokenError))
    users.set_disabled(other, site.user.id, disabled=False, actor=None)
    other.close()
    site.database._engine.dispose()
    (tmp_path / "smart_auth.db").rename(tmp_path / "gone.db")
    (tmp_path / "smart_auth.db").mkdir()
    _wait_for(lambda: _refused(site, site.token(), StaleRevocationsError))


def test_verification_is_safe_from_many_threads(site: Site) -> None:
    tokens = [site.token() for _ in range(20)]
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for token in tokens * 20:
                site.verifier.verify(token)
        except InvalidTokenError as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def _refused(site: Site, token: str, error: type[Exception]) -> bool:
    try:
        site.verifier.verify(token)
    except error:
        return True
    except (InvalidTokenError, StaleRevocationsError):
        return False
    return False


def _wait_for(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
