"""Private keys: made on first start (0600), loaded by kind, never used for another kind.

ES256 for access tokens, RS256 for id tokens (OpenID Connect Core 15.1 requires it), and a key of its own for
report signatures. Sources: RFC 7517 (JWK), RFC 7638 (`kid`), RFC 7515 appendix F (detached JWS).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64encode

RSA_BITS = 3072  # NIST SP 800-57: good beyond 2030
REPORT_ALGORITHM = "ES256"


class ReportKey:
    """Signs reports: a detached JWS whose payload is kept elsewhere."""

    def __init__(self, key: ECKey) -> None:
        self._key = key
        self.kid = key.thumbprint()

    @classmethod
    def load(cls, path: Path) -> ReportKey:
        """Load the key, or make it if there is none."""
        return cls(ECKey.import_key(_pem(path, "EC")))

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
        return _public(self._key, self.kid, REPORT_ALGORITHM)


class Keys:
    """The keys of one installation."""

    def __init__(self, directory: Path, *, report_key: Path | None = None) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.access = ECKey.import_key(_pem(directory / "access-token.pem", "EC"))
        self.id = RSAKey.import_key(_pem(directory / "id-token.pem", "RSA"))
        self.report = ReportKey.load(report_key or directory / "report.pem")
        self.access_kid = self.access.thumbprint()
        self.id_kid = self.id.thumbprint()
        self.form_secret = _once(directory / "form.key", lambda: secrets.token_bytes(32))
        self.second_factor_secret = _once(directory / "second-factor.key", lambda: secrets.token_bytes(32))
        self.device_secret = _once(directory / "device.key", lambda: secrets.token_bytes(32))

    def jwks(self) -> dict[str, Any]:
        """Public keys of tokens (RFC 7517 section 5). The report key is not among them on purpose."""
        return {
            "keys": [
                _public(self.access, self.access_kid, "ES256"),
                _public(self.id, self.id_kid, "RS256"),
            ]
        }

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


def _public(key: ECKey | RSAKey, kid: str, algorithm: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": algorithm}


def _pem(path: Path, kind: str) -> bytes:
    def make() -> bytes:
        key = ECKey.generate_key("P-256") if kind == "EC" else RSAKey.generate_key(RSA_BITS)
        return key.as_pem(private=True)

    return _once(path, make)


def _once(path: Path, make: Callable[[], bytes]) -> bytes:
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
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path.name} can be read by others: set its mode to 0600")
    return path.read_bytes()
