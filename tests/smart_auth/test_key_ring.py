"""Rotation: published first, signing later, verifying until the last token is past; no restart."""

import time
from pathlib import Path
from typing import Any

import pytest

from smart_auth.errors import InvalidTokenError, RuleError
from smart_auth.key_ring import KeyRing
from smart_auth.keys import Keys
from smart_auth.revocations import Feed, State
from smart_auth.tokens import Issuer, Subject, Verifier

ISSUER, AUDIENCE = "http://localhost:8080/auth", "http://localhost:8080/fhir"
KEEP_S, PUBLISH_S = 3660, 600


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


class Always(Feed):
    """A feed that knows one active client."""

    def __init__(self) -> None:
        self._state = State(clients=frozenset({"back-end"}))

    @property
    def state(self) -> State:
        return self._state


class Process:
    """One process of the product: it looks at the folder like any other."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.keys = Keys(directory, keep_s=KEEP_S, clock=clock)
        self.issuer = Issuer(self.keys, ISSUER, AUDIENCE, clock=clock)
        self.verifier = Verifier(self.keys, ISSUER, AUDIENCE, Always(), clock=clock)

    def look(self) -> None:
        """What happens by itself once a second."""
        self.keys.access_ring.look()
        self.keys.id_ring.look()

    def token(self, lifetime_s: int = 3600) -> str:
        subject = Subject(client_id="back-end", role="doctor", scope="system/Patient.rs")
        return self.issuer.access_token(subject, lifetime_s)[0]

    def kids(self) -> list[str]:
        return [key["kid"] for key in self.keys.jwks()["keys"] if key["alg"] == "ES256"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_rotation_gives_every_process_the_new_key_before_it_signs(tmp_path: Path, clock: Clock) -> None:
    one, other = Process(tmp_path / "keys", clock), Process(tmp_path / "keys", clock)
    old = one.token()
    first = one.keys.access_kid
    made = one.keys.access_ring.rotate(publish_s=PUBLISH_S)
    assert made.path.stat().st_mode & 0o777 == 0o600
    other.look()
    assert one.kids() == other.kids() == [first, made.kid], "published"
    assert one.keys.access_kid == first, "the old one still signs"
    with pytest.raises(RuleError):
        one.keys.access_ring.rotate(publish_s=PUBLISH_S)
    clock.now += PUBLISH_S - 1
    last = one.token()
    clock.now += 1
    assert one.keys.access_kid == other.keys.access_kid == made.kid
    for token in (old, last, one.token()):
        other.verifier.verify(token)
    clock.now += 3590
    other.verifier.verify(last)
    clock.now += 80
    assert one.kids() == [made.kid], "the old one is over with its last token"
    again = one.keys.access_ring.rotate(publish_s=PUBLISH_S)
    other.look()
    assert other.kids() == [made.kid, again.kid]
    assert sorted(path.name for path in (tmp_path / "keys").glob("access-token*")) == sorted(
        [made.path.name, again.path.name]
    ), "a retired key is removed"


def test_a_retired_key_proves_nothing_even_for_a_token_that_was_checked_before(
    tmp_path: Path, clock: Clock
) -> None:
    process = Process(tmp_path / "keys", clock)
    long = process.token(lifetime_s=86400)
    process.verifier.verify(long)
    process.keys.access_ring.rotate(publish_s=0)
    clock.now += KEEP_S + 1
    with pytest.raises(InvalidTokenError):
        process.verifier.verify(long)


def test_a_leaked_key_ends_at_once_with_its_tokens(tmp_path: Path, clock: Clock) -> None:
    one, other = Process(tmp_path / "keys", clock), Process(tmp_path / "keys", clock)
    old = one.token()
    other.verifier.verify(old)
    clock.now += 5
    one.keys.access_ring.rotate(publish_s=PUBLISH_S)
    made = one.keys.access_ring.replace()
    other.look()
    assert one.kids() == other.kids() == [made.kid]
    for process in (one, other):
        with pytest.raises(InvalidTokenError):
            process.verifier.verify(old)
    other.verifier.verify(one.token())
    again = Process(tmp_path / "keys", clock)
    assert again.kids() == [made.kid], "a start makes no key beside it"


def test_a_process_looks_by_itself(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Process(tmp_path / "keys", clock), Process(tmp_path / "keys", clock)
    made = one.keys.access_ring.rotate(publish_s=PUBLISH_S)
    assert made.kid not in other.kids()
    later = time.monotonic() + 1.1
    monkeypatch.setattr("smart_auth.key_ring.time.monotonic", lambda: later)
    assert made.kid in other.kids()


def test_a_new_key_that_others_can_read_is_refused(tmp_path: Path, clock: Clock) -> None:
    process = Process(tmp_path / "keys", clock)
    made = process.keys.access_ring.rotate(publish_s=0)
    made.path.chmod(0o640)
    with pytest.raises(PermissionError):
        KeyRing(tmp_path / "keys", "access-token", "ES256", keep_s=KEEP_S)


def test_an_id_token_key_rotates_too(tmp_path: Path, clock: Clock) -> None:
    process = Process(tmp_path / "keys", clock)
    person: dict[str, Any] = {"client_id": "app", "role": "doctor", "scope": "openid", "user_id": "u"}
    hint = process.issuer.id_token(Subject(**person), nonce=None, lifetime_s=60, words=frozenset())
    process.keys.id_ring.rotate(publish_s=PUBLISH_S)
    clock.now += PUBLISH_S
    assert process.verifier.id_token_claims(hint)["sub"] == "u"
    with pytest.raises(InvalidTokenError):
        process.verifier.verify(hint)
    with pytest.raises(InvalidTokenError):
        process.verifier.id_token_claims(process.token())
