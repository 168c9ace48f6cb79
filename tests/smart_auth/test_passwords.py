"""Passwords: what is accepted, and that checking an unknown one costs the same hash."""

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from smart_auth import passwords
from smart_auth.errors import RuleError


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "x" * 300,
        "password2026!",
        "Password123456",
        "neuronova2026",
        "qwertyuiop123",
        "aaaaaaaaaaaa",
        "ababababababab",
        "1234567890123",
        "9876543210987",
        "abcdefghijklm",
        "demo-user-2026!x",
        "dkssudgktpdy1!",
        "1qaz2wsx3edc",
        "qweasdzxc123",
        "123456654321",
        "bluebirdbluebird",
    ],
)
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(RuleError):
        passwords.check_password(password, "demo-user", length=12)


def test_no_password_of_the_list_of_common_ones_is_accepted() -> None:
    common = [password for password in FREQUENCY_LISTS["passwords"] if len(password) >= 12]
    assert len(common) > 200
    for password in common:
        with pytest.raises(RuleError):
            passwords.check_password(password, "somebody", length=12)


def test_a_phrase_longer_than_what_is_looked_at_is_accepted() -> None:
    passwords.check_password("tram lake viol " * 4 + "harbour onion cable " * 4, "somebody", length=12)


@pytest.mark.parametrize(
    "password", ["correct horse battery", "비밀번호는 길어야 좋다 그렇다", "K7-viol-tram-lake"]
)
def test_a_long_and_uncommon_password_is_accepted(password: str) -> None:
    passwords.check_password(password, "demo-user", length=12)
    stored = passwords.hash_password(password)
    assert stored.startswith("$argon2id$")
    assert passwords.verify_password(password, stored)
    assert not passwords.verify_password(password + "x", stored)


def test_without_a_stored_password_nothing_is_right_and_a_hash_is_computed_all_the_same() -> None:
    calls: list[str] = []

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            calls.append(stored)
            return True

    nobody = passwords.nobody()
    real, passwords.HASHER = passwords.HASHER, Counting()  # type: ignore[assignment]
    try:
        assert not passwords.verify_password("anything", None)
        assert passwords.verify_password("anything", "stored")
    finally:
        passwords.HASHER = real
    assert calls == [nobody, "stored"]
    assert not passwords.verify_password("x", "not a hash")
