"""Second factor: time-based one-time codes, and one-time recovery codes for the day the phone is lost.

The secret is sealed with AES-256-GCM under a key file of the service and bound to its user, so that neither
a copy of the database nor a row moved to another user is of use. Each time step is good once: the UPDATE
decides between two who come together. Recovery codes have 80 random bits: one SHA-256 stores them safely.
Sources: RFC 6238 (5.2: one step of tolerance, a code is used once), RFC 4226, NIST SP 800-63B 5.1.2, 5.1.4.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Literal

import pyotp
import segno
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from smart_auth.database import Database
from smart_auth.errors import RuleError
from smart_auth.models import RecoveryCode, User
from smart_auth.secret import digest

STEP_S = 30
TOLERANCE = 1  # steps before and after now (RFC 6238 5.2)
DIGITS = 6
NAME = "NeuroNova"  # what an authenticator shows above the user name
RECOVERY_CODES = 10
# Without i, l, o and u, which are misread (Crockford's base 32): 16 characters of 5 bits.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_GROUPS, _GROUP = 4, 4
_NONCE = 12

Used = Literal["code", "recovery-code"]


class SecondFactors:
    """The second factors of all users."""

    def __init__(self, database: Database, key: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._sealer = AESGCM(key)
        self._clock = clock

    def seal(self, user_id: str, secret: str) -> str:
        """The secret as it may be stored, for this user only."""
        nonce = os.urandom(_NONCE)
        return urlsafe_b64encode(
            nonce + self._sealer.encrypt(nonce, secret.encode(), _bound(user_id))
        ).decode()

    def unseal(self, user_id: str, sealed: str) -> str:
        """The secret; ValueError when it was sealed with another key or for another user."""
        data = urlsafe_b64decode(sealed)
        try:
            return self._sealer.decrypt(data[:_NONCE], data[_NONCE:], _bound(user_id)).decode()
        except InvalidTag as error:
            raise ValueError("this second factor was sealed with another key or for another user") from error

    def enrol(self, user_id: str, secret: str, code: str) -> list[str] | None:
        """Turn the second factor on if the code is right; the recovery codes, which are never shown again."""
        step = self._step(secret, code)
        if step is None:
            return None
        sealed, codes = self.seal(user_id, secret), [_recovery_code() for _ in range(RECOVERY_CODES)]
        with self._database.write() as session:
            turned_on = session.execute(
                update(User)
                .where(User.id == user_id, User.totp_step.is_(None))
                .values(totp_secret=sealed, totp_step=step)
            )
            if turned_on.rowcount != 1:  # type: ignore[attr-defined]
                raise RuleError("there is a second factor already")
            session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
            session.add_all(RecoveryCode(hash=_stored(user_id, code), user_id=user_id) for code in codes)
        return codes

    def use(self, user_id: str, code: str) -> Used | None:
        """Which kind of code it was, if it is right; it is never right again."""
        plain = "".join(code.split())
        if len(plain) == DIGITS and plain.isascii() and plain.isdigit():
            return "code" if self._use_code(user_id, plain) else None
        return "recovery-code" if self._use_recovery_code(user_id, plain) else None

    def recovery_codes_left(self, user_id: str) -> int:
        """How many are unused."""
        with self._database.read() as session:
            left = session.scalar(
                select(func.count())
                .select_from(RecoveryCode)
                .where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
            )
        return left or 0

    def _use_code(self, user_id: str, code: str) -> bool:
        with self._database.write() as session:
            user = session.get(User, user_id)
            if user is None or user.totp_secret is None:
                return False
            step = self._step(self.unseal(user_id, user.totp_secret), code)
            if step is None:
                return False
            # A time step is good once, and none before it is good any more.
            used = session.execute(
                update(User).where(User.id == user_id, User.totp_step < step).values(totp_step=step)
            )
            return bool(used.rowcount == 1)  # type: ignore[attr-defined]

    def _use_recovery_code(self, user_id: str, code: str) -> bool:
        with self._database.write() as session:
            used = session.execute(
                update(RecoveryCode)
                .where(
                    RecoveryCode.hash == _stored(user_id, code),
                    RecoveryCode.user_id == user_id,
                    RecoveryCode.used_at.is_(None),
                )
                .values(used_at=int(self._clock()))
            )
            return bool(used.rowcount == 1)  # type: ignore[attr-defined]

    def _step(self, secret: str, code: str) -> int | None:
        """The time step that a code belongs to, within the tolerance."""
        now = int(self._clock()) // STEP_S
        plain = "".join(code.split()).encode()
        generator = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S)
        steps = range(now - TOLERANCE, now + TOLERANCE + 1)
        right = [step for step in steps if hmac.compare_digest(generator.generate_otp(step).encode(), plain)]
        return max(right, default=None)


def is_on(user: User) -> bool:
    """Whether a login of this user needs a second step."""
    return user.totp_secret is not None and user.totp_step is not None


def turn_off(session: Session, user: User) -> None:
    """Forget the second factor and its recovery codes, as part of the caller's transaction."""
    user.totp_secret = user.totp_step = None
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))


def new_secret() -> str:
    """160 random bits in base 32 (RFC 4226 section 4, R6)."""
    return pyotp.random_base32(32)


def qr_code(secret: str, username: str) -> str:
    """The key URI of an authenticator as inline SVG: black on white in both colour schemes."""
    uri = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S).provisioning_uri(name=username, issuer_name=NAME)
    return segno.make(uri, error="m", micro=False).svg_inline(scale=5, border=4, dark="#000", light="#fff")


def _bound(user_id: str) -> bytes:
    return f"totp:{user_id}".encode()


def _recovery_code() -> str:
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def _stored(user_id: str, code: str) -> str:
    return digest(f"recovery:{user_id}:{code.replace('-', '').lower()}")
