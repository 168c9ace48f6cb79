"""Passwords: argon2id, a length, and no password that is quickly guessed.

Sources: RFC 9106 (argon2), OWASP Password Storage Cheat Sheet (m=47104, t=1, p=1), NIST SP 800-63B 5.1.1.2
(length and common words instead of composition rules); zxcvbn (common passwords, words, names, sequences,
repetitions, keyboard walks).
"""

from __future__ import annotations

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from zxcvbn import zxcvbn

from smart_auth.errors import RuleError
from smart_auth.secret import new_secret

# About 0.1 s of one core; 46 MB of memory for each login under way.
HASHER = PasswordHasher(time_cost=1, memory_cost=47104, parallelism=1, type=Type.ID)
MAX_LENGTH = 256  # a longer one only costs us time

# What zxcvbn's lists do not know: words of this product and place, and Korean ones typed on Latin keys.
_OURS = """
neuronova openemr orthanc hapi fhir dicom radiology neurology hospital clinic doctor nurse patient korea seoul
busan daehanminguk samsung hangul dkssudgktpdy dkssud qlalfqjsgh tkfkdgo tkfkdgody alcls qudtkrh
"""
OURS = tuple(_OURS.split())
GUESSES_LOG10 = 10.0
"""zxcvbn's best score begins here."""
_MOST_LOOKED_AT = 72  # zxcvbn's own limit


@cache
def nobody() -> str:
    """Return the hash for unknown users, so that they cost the same argon2 as known ones.

    Made once in a process, by whoever serves logins at its start: the first of them must not take longer.
    """
    return HASHER.hash(new_secret())


def hash_password(password: str) -> str:
    """The stored form."""
    return HASHER.hash(password)


def verify_password(password: str, stored: str | None) -> bool:
    """Whether it is the password; without a stored one the same work is done and the answer is no."""
    try:
        HASHER.verify(stored or nobody(), password[:MAX_LENGTH])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def check_password(password: str, username: str, *, length: int) -> None:
    """RuleError when a new password is too short, too long, common, or holds the user's name."""
    if not length <= len(password) <= MAX_LENGTH:
        raise RuleError(f"a password has {length} to {MAX_LENGTH} characters")
    looked_at = password[:_MOST_LOOKED_AT]
    if zxcvbn(looked_at, user_inputs=[username, *OURS])["guesses_log10"] < GUESSES_LOG10:
        raise RuleError("this password is too common")
    if len(username) >= 3 and username.lower() in password.lower():
        raise RuleError("a password does not contain the user name")
