"""Private keys: made on first start (0600), loaded by kind, never used for another kind (`key_ring` rotates).

ES256 for access tokens, RS256 for id tokens (OpenID Connect Core 15.1 requires it), and a key of its own for
report signatures. Sources: RFC 7517 (JWK), RFC 7638 (`kid`), RFC 7515 appendix F (detached JWS).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.util import urlsafe_b64encode

from smart_auth.key_ring import KeyRing, private_file, public_jwk

KEEP_S = 3660  # an hour, the default lifetime of tokens, and the skew of clocks
REPORT_ALGORITHM = "ES256"


class ReportKey:
    """Signs reports: a detached JWS whose payload is kept elsewhere."""

    def __init__(self, key: ECKey) -> None:
        self._key = key
        self.kid = key.thumbprint()

    @classmethod
    def load(cls, path: Path) -> ReportKey:
        """Load the key, or make it if there is none."""
        return cls(ECKey.import_key(private_file(path, _new_ec)))

    def sign_detached(self, payload: bytes) -> str:
        """`header..signature` over the payload (RFC 7515 appendix F)."""
        header = {"alg": REPORT_ALGORITHM, "kid": self.kid}
        protected, _, signature = jws.serialize_compact(
            header, payload, self._key, algorithms=[REPORT_ALGORITHM]
        ).split(".")
        return f"{protected}..{signature}"

    def verify_detached(self, payload: bytes, signature: str) -> bool:
        """Whether this key signed exactly these bytes."""
        return verify_detached(payload, signature, self._key)

    def public(self) -> dict[str, Any]:
        """The public key, for whoever checks a report elsewhere."""
        return public_jwk(self._key, self.kid, REPORT_ALGORITHM)


class Keys:
    """The keys of one installation."""

    def __init__(
        self,
        directory: Path,
        *,
        report_key: Path | None = None,
        keep_s: int = KEEP_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.access_ring = KeyRing(directory, "access-token", "ES256", keep_s=keep_s, clock=clock)
        self.id_ring = KeyRing(directory, "id-token", "RS256", keep_s=keep_s, clock=clock)
        self.report = ReportKey.load(report_key or directory / "report.pem")
        self.form_secret = _secret(directory / "form.key")
        self.second_factor_secret = _secret(directory / "second-factor.key")
        self.device_secret = _secret(directory / "device.key")

    @property
    def access(self) -> ECKey:
        """The key that signs access tokens now."""
        return cast(ECKey, self.access_ring.signing.key)

    @property
    def access_kid(self) -> str:
        """Its `kid`."""
        return self.access_ring.signing.kid

    def jwks(self) -> dict[str, Any]:
        """Public keys of tokens (RFC 7517 section 5). The report key is not among them on purpose."""
        return {"keys": [*self.access_ring.public(), *self.id_ring.public()]}

    def sign_detached(self, payload: bytes) -> str:
        """A detached JWS of the report key."""
        return self.report.sign_detached(payload)

    def verify_detached(self, payload: bytes, signature: str) -> bool:
        """Whether the report key signed exactly these bytes."""
        return self.report.verify_detached(payload, signature)


def verify_detached(payload: bytes, signature: str, key: ECKey) -> bool:
    """Whether `header..signature` is this key's ES256 signature of the payload."""
    protected, _, rest = signature.partition("..")
    if not rest or "." in protected or "." in rest:
        return False
    encoded = urlsafe_b64encode(payload).decode()
    try:
        jws.deserialize_compact(f"{protected}.{encoded}.{rest}", key, algorithms=[REPORT_ALGORITHM])
    except JoseError:
        return False
    return True


def _new_ec() -> bytes:
    return ECKey.generate_key("P-256").as_pem(private=True)


def _secret(path: Path) -> bytes:
    return private_file(path, lambda: secrets.token_bytes(32))
