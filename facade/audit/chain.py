"""The hash chain: sequence number, SHA-256 over canonical JSON, link to the event before, ES256 signature.

What is hashed is the RFC 8785 canonical JSON of the AuditEvent without id, meta and narrative, and without
the hash and signature themselves; the sequence number, the key's name and the previous hash are inside.
ES256 is RFC 7518 section 3.4 (P-256, SHA-256, r and s of 32 bytes each); a key is named by its RFC 7638
thumbprint.
"""

from __future__ import annotations

import base64
import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from facade.audit import balp
from facade.audit.errors import AuditError
from facade.audit.names import CHAIN_EXTENSION

GENESIS: Final = "0" * 64
_UNHASHED: Final = ("id", "meta", "text")
_SEALS: Final = ("hash", "signature")


@dataclass(frozen=True)
class Seal:
    """What the chain extension of one event says."""

    sequence: int
    previous: str
    key: str
    hash: str
    signature: str


class Verifier:
    """Checks signatures with the public half of a key."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._public = key
        numbers = key.public_numbers()
        jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": _b64(numbers.x.to_bytes(32, "big")),
            "y": _b64(numbers.y.to_bytes(32, "big")),
        }
        self.key_id = _b64(hashlib.sha256(rfc8785.dumps(jwk)).digest())

    def is_signed(self, message: bytes, signature: str) -> bool:
        """True if this key signed `message`."""
        try:
            raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
            if len(raw) != 64:
                return False
            der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            self._public.verify(der, message, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer(Verifier):
    """Signs with the private key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(key.public_key())
        self._private = key

    def sign(self, message: bytes) -> str:
        """The ES256 signature of `message`, base64url."""
        r, s = decode_dss_signature(self._private.sign(message, ec.ECDSA(hashes.SHA256())))
        return _b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def load_signer(path: Path) -> Signer:
    """The signer of a PEM file with a P-256 private key."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AuditError(f"{path.name} is not a P-256 private key")
    return Signer(key)


def load_verifier(path: Path) -> Verifier:
    """The verifier of a PEM file with a P-256 key, private or public."""
    pem = path.read_bytes()
    if b"PRIVATE KEY" in pem:
        return load_signer(path)
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AuditError(f"{path.name} is not a P-256 public key")
    return Verifier(key)


def event_id(sequence: int) -> str:
    """The AuditEvent's id in HAPI; the same event sent twice is the same resource."""
    return f"ae-{sequence:012d}"


def seal(event: dict[str, Any], sequence: int, previous: str, signer: Signer) -> tuple[dict[str, Any], str]:
    """The event with its place in the chain, and its hash. `event` itself is left as it is."""
    sealed = copy.deepcopy({key: value for key, value in event.items() if key not in _UNHASHED})
    link = [
        {"url": "sequence", "valueString": f"{sequence:012d}"},
        {"url": "previous", "valueString": previous},
        {"url": "key", "valueString": signer.key_id},
    ]
    others = [one for one in sealed.get("extension", []) if one.get("url") != CHAIN_EXTENSION]
    chain: dict[str, Any] = {"url": CHAIN_EXTENSION, "extension": link}
    sealed["extension"] = [*others, chain]
    digest = digest_of(sealed)
    link.append({"url": "hash", "valueString": digest})
    link.append({"url": "signature", "valueString": signer.sign(bytes.fromhex(digest))})
    sealed["id"] = event_id(sequence)
    # Follows from the content, so it needs no place in the hash.
    if (profile := balp.profile(sealed)) is not None:
        sealed["meta"] = {"profile": [profile]}
    return sealed, digest


def digest_of(event: dict[str, Any]) -> str:
    """SHA-256 (hex) over what an event says, without what the store adds and without the seal."""
    content = {key: value for key, value in event.items() if key not in _UNHASHED}
    content["extension"] = [_unsealed(one) for one in content.get("extension", [])]
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def seal_of(event: dict[str, Any]) -> Seal | None:
    """What the chain extension says, or None if there is none that can be read."""
    found = [one for one in event.get("extension", []) if one.get("url") == CHAIN_EXTENSION]
    if len(found) != 1:
        return None
    said = {one.get("url"): one.get("valueString") for one in found[0].get("extension", [])}
    try:
        return Seal(
            int(said["sequence"]),
            str(said["previous"]),
            str(said["key"]),
            str(said["hash"]),
            str(said["signature"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _unsealed(extension: dict[str, Any]) -> dict[str, Any]:
    if extension.get("url") != CHAIN_EXTENSION:
        return extension
    parts = [part for part in extension.get("extension", []) if part.get("url") not in _SEALS]
    return {**extension, "extension": parts}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
