"""Passwords: argon2id, a length, and a list of what everybody tries first.

Sources: RFC 9106 (argon2), OWASP Password Storage Cheat Sheet (m=47104, t=1, p=1), NIST SP 800-63B 5.1.1.2
(length and common words instead of composition rules).
"""

from __future__ import annotations

import itertools
import re

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from smart_auth.errors import RuleError
from smart_auth.secret import new_secret

# About 0.1 s of one core; 46 MB of memory for each login under way.
HASHER = PasswordHasher(time_cost=1, memory_cost=47104, parallelism=1, type=Type.ID)
MAX_LENGTH = 256  # a longer one only costs us time

# Stems of the most used passwords; one of them with digits and signs around it is one of them. The Korean
# ones are Korean words typed on a Latin keyboard.
_COMMON = """
password passwort passw0rd p@ssword p@ssw0rd qwerty qwertyuiop asdfghjkl zxcvbnm letmein welcome iloveyou
monkey dragon sunshine princess football baseball superman batman trustno admin administrator root master
login hello freedom whatever shadow michael jordan hunter harley ranger secret changeme default guest test
tester testing user hospital doctor nurse patient clinic medical radiology neuronova openemr orthanc
abcdefgh abcdefghijkl abcd1234 qwer1234 asdf1234 zaq12wsx qazwsx qazwsxedc 1qaz2wsx q1w2e3r4 q1w2e3r4t5
dkssudgktpdy qlalfqjsgh tkfkdgo alcls korea seoul daehanminguk samsung hangul
"""
_KEYS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
WALK = 0.65
COMMON = frozenset(_COMMON.split())
# Made once per process: an unknown user costs the same argon2 as a known one.
_NOBODY = HASHER.hash(new_secret())


def hash_password(password: str) -> str:
    """The stored form."""
    return HASHER.hash(password)


def verify_password(password: str, stored: str | None) -> bool:
    """Whether it is the password; without a stored one the same work is done and the answer is no."""
    try:
        HASHER.verify(stored or _NOBODY, password[:MAX_LENGTH])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def check_password(password: str, username: str, *, length: int) -> None:
    """RuleError when a new password is too short, too long, common, or holds the user's name."""
    if not length <= len(password) <= MAX_LENGTH:
        raise RuleError(f"a password has {length} to {MAX_LENGTH} characters")
    plain = password.lower()
    stem = re.sub(r"^[\d\W_]+|[\d\W_]+$", "", plain)
    half = plain[: len(plain) // 2]
    if (
        stem in COMMON
        or plain in COMMON
        or len(set(plain)) < 5
        or plain in (half * 2, half + half[::-1])
        or _is_sequence(plain)
        or _is_keyboard_walk(plain)
    ):
        raise RuleError("this password is too common")
    if len(username) >= 3 and username.lower() in plain:
        raise RuleError("a password does not contain the user name")


def _is_keyboard_walk(text: str) -> bool:
    """Neighbouring keys for most of the way: 1qaz2wsx3edc, qweasdzxc123. In words one pair in six is such."""
    at = {key: (row, column) for row, keys in enumerate(_KEYS) for column, key in enumerate(keys)}
    pairs = [(at[a], at[b]) for a, b in itertools.pairwise(text) if a in at and b in at]
    near = sum(abs(a[0] - b[0]) <= 1 and abs(a[1] - b[1]) <= 1 for a, b in pairs)
    return near >= WALK * max(1, len(text) - 1)


def _is_sequence(text: str) -> bool:
    """123456..., abcdef..., and their reverse, all through."""
    steps = {ord(b) - ord(a) for a, b in itertools.pairwise(text)}
    wrapped = ({1, -9}, {-1, 9}) if text.isdigit() else ({1}, {-1})
    return any(steps <= allowed for allowed in wrapped)
