"""The keys of one kind, old and new: which one signs, which ones are published, which ones still verify.

A key is a private file; its name says from when it signs: `access-token.pem` from the beginning,
`access-token.1790000000.pem` from that second on. Every process looks at the folder once a second, so a new
key is published by all of them long before it signs, and needs no restart. A key verifies until the last
token that it may have signed is past. Sources: RFC 7517 (JWK Set), OpenID Connect Core 10.1.1 (rotation).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from joserfc.jwk import ECKey, RSAKey

from smart_auth.errors import RuleError

RSA_BITS = 3072  # NIST SP 800-57: good beyond 2030
LOOK_S = 1.0
State = Literal["published", "signing", "verifying", "retired"]


@dataclass(frozen=True)
class SigningKey:
    """One key pair and the time (seconds since 1970) from which it signs."""

    kid: str
    key: ECKey | RSAKey
    since: int
    path: Path


class KeyRing:
    """The keys of one kind in one folder."""

    def __init__(
        self,
        directory: Path,
        name: str,
        algorithm: Literal["ES256", "RS256"],
        *,
        keep_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`keep_s`: a token of this kind is past so long after its key stopped signing."""
        self.algorithm = algorithm
        self.name = name
        self._directory = directory
        self._pattern = re.compile(rf"{re.escape(name)}(?:\.([0-9]{{1,12}}))?\.pem")
        self._keep_s = keep_s
        self._clock = clock
        self._keys: tuple[SigningKey, ...] = ()
        self._looked = float("-inf")
        if not self._files():
            private_file(directory / f"{name}.pem", self._new)
        self.look()

    def look(self) -> None:
        """Read what is new in the folder, and forget what is gone."""
        known = {key.path: key for key in self._keys}
        found = []
        for path, since in self._files():
            if path not in known:
                with contextlib.suppress(FileNotFoundError):
                    found.append(self._read(path, since))
            else:
                found.append(known[path])
        self._keys = tuple(sorted(found, key=lambda key: key.since))
        self._looked = time.monotonic()

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """Every key of the folder, oldest first."""
        if time.monotonic() - self._looked > LOOK_S:
            self.look()
        return self._keys

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        now = self._clock()
        return [key for key in self.keys if key.since <= now][-1]

    def find(self, kid: object) -> SigningKey | None:
        """The key that a token names, unless it is unknown or retired."""
        return next((key for key, state in self.listed() if key.kid == kid and state != "retired"), None)

    def public(self) -> list[dict[str, Any]]:
        """What is published: next, present and past keys (RFC 7517 section 5)."""
        return [
            public_jwk(key.key, key.kid, self.algorithm) for key, state in self.listed() if state != "retired"
        ]

    def listed(self) -> list[tuple[SigningKey, State]]:
        """Each key with its state, oldest first."""
        now, keys = self._clock(), self.keys
        return [(key, self._state(key, keys[place + 1 :], now)) for place, key in enumerate(keys)]

    def rotate(self, *, publish_s: int) -> SigningKey:
        """A new key that is published at once and signs after `publish_s`; retired ones are removed."""
        states = self.listed()
        if any(state == "published" for _, state in states):
            raise RuleError("a new key is published already and does not sign yet")
        for key, state in states:
            if state == "retired":
                key.path.unlink()
        return self._add(int(self._clock()) + publish_s)

    def replace(self) -> SigningKey:
        """A new key that signs at once; every other one is removed, and every token of theirs ends."""
        old = self.keys
        new = self._add(int(self._clock()))
        for key in old:
            key.path.unlink()
        self.look()
        return new

    def _add(self, since: int) -> SigningKey:
        path = self._directory / f"{self.name}.{since}.pem"
        if path.exists():
            raise RuleError("keys were changed this very second: try again")
        private_file(path, self._new)
        self.look()
        return next(key for key in self._keys if key.path == path)

    def _state(self, key: SigningKey, later: tuple[SigningKey, ...], now: float) -> State:
        if key.since > now:
            return "published"
        successor = next((one for one in later if one.since <= now), None)
        if successor is None:
            return "signing"
        return "verifying" if now < successor.since + self._keep_s else "retired"

    def _files(self) -> list[tuple[Path, int]]:
        found = []
        for path in self._directory.iterdir():
            if match := self._pattern.fullmatch(path.name):
                found.append((path, int(match[1] or 0)))
        return found

    def _read(self, path: Path, since: int) -> SigningKey:
        pem = read_private(path)
        key = ECKey.import_key(pem) if self.algorithm == "ES256" else RSAKey.import_key(pem)
        return SigningKey(key.thumbprint(), key, since, path)

    def _new(self) -> bytes:
        if self.algorithm == "ES256":
            return ECKey.generate_key("P-256").as_pem(private=True)
        return RSAKey.generate_key(RSA_BITS).as_pem(private=True)


def public_jwk(key: ECKey | RSAKey, kid: str, algorithm: str) -> dict[str, Any]:
    """The public half, for signatures of one algorithm only."""
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm}


def private_file(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's bytes; made complete and durable under another name first, so that one process wins."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(make())
                file.flush()
                os.fsync(file.fileno())
            # Another process may have been first: then its key is the key.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    return read_private(path)


def read_private(path: Path) -> bytes:
    """A file that nobody else may read."""
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path.name} can be read by others: set its mode to 0600")
    return path.read_bytes()
