"""Random secrets and how they are stored: 256 bits need no slow hash, one SHA-256 does (RFC 6749 10.10)."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new_secret() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    """128 random bits in hex: an identity, not a secret."""
    return secrets.token_hex(16)


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(digest(secret), stored)
