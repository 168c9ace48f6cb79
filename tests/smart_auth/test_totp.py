"""The second factor by itself: codes of RFC 6238, once each, sealed at rest; recovery codes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import select

from smart_auth import totp, users
from smart_auth.database import Database
from smart_auth.errors import RuleError
from smart_auth.models import RecoveryCode, User
from smart_auth.totp import SecondFactors
from tests.smart_auth.quick import tables_in


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tables_in(tmp_path))
    yield database
    database.close()


@pytest.fixture
def factors(database: Database, clock: Clock) -> SecondFactors:
    return SecondFactors(database, b"k" * 32, clock=clock)


@pytest.fixture
def user(database: Database) -> User:
    return users.create(database, "demo-doctor", "doctor").user


def enrolled(factors: SecondFactors, user: User, clock: Clock) -> tuple[pyotp.TOTP, list[str]]:
    secret = totp.new_secret()
    generator = pyotp.TOTP(secret)
    codes = factors.enrol(user.id, secret, generator.at(int(clock())))
    assert codes is not None
    return generator, codes


def test_codes_are_those_of_rfc_6238_appendix_b(
    factors: SecondFactors, user: User, database: Database, clock: Clock
) -> None:
    # The RFC's key, and its eight digits cut to six (RFC 4226 5.3: the value modulo 10^digits).
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for now, code in ((59, "287082"), (1111111109, "081804"), (2000000000, "279037")):
        clock.now = now
        assert factors.enrol(user.id, secret, code) is not None
        users.remove_second_factor(database, user.id)


def test_a_code_is_good_once_and_for_one_step_around_now(
    factors: SecondFactors, user: User, clock: Clock
) -> None:
    generator, _ = enrolled(factors, user, clock)
    start = int(clock())
    # The code of the enrolment is used up already.
    assert factors.use(user.id, generator.at(start)) is None
    clock.now = start + 300
    for away, good in ((-60, False), (-30, True), (30, True), (60, False)):
        code = generator.at(int(clock()) + away)
        assert (factors.use(user.id, code) == "code") is good, away
        assert factors.use(user.id, code) is None
    # Once a later step was used, none before it is good.
    clock.now += 300
    assert factors.use(user.id, generator.at(int(clock()) + 30)) == "code"
    assert factors.use(user.id, generator.at(int(clock()))) is None


def test_of_many_who_send_one_code_at_the_same_time_one_gets_in(
    factors: SecondFactors, user: User, clock: Clock
) -> None:
    generator, codes = enrolled(factors, user, clock)
    clock.now += 60
    code = generator.at(int(clock()))
    with ThreadPoolExecutor(8) as pool:
        assert sorted(map(str, pool.map(lambda _: factors.use(user.id, code), range(8))))[-2:] == [
            "None",
            "code",
        ]
        used = list(pool.map(lambda _: factors.use(user.id, codes[0]), range(8)))
    assert used.count("recovery-code") == 1


def test_a_recovery_code_is_good_once_for_its_user_however_it_is_typed(
    factors: SecondFactors, user: User, database: Database, clock: Clock
) -> None:
    _, codes = enrolled(factors, user, clock)
    other = users.create(database, "demo-nurse", "nurse").user
    enrolled(factors, other, clock)
    assert len(set(codes)) == 10
    assert factors.use(other.id, codes[0]) is None
    assert factors.use(user.id, f" {codes[0].upper()} ") == "recovery-code"
    assert factors.use(user.id, codes[0]) is None
    assert factors.use(user.id, codes[1].replace("-", " ")) == "recovery-code"
    assert factors.recovery_codes_left(user.id) == 8
    for wrong in ("", "000000", "-", "é" * 6, "x" * 1000, "१२३४५६"):
        assert factors.use(user.id, wrong) is None


def test_neither_the_secret_nor_a_recovery_code_is_in_the_database(
    factors: SecondFactors, user: User, database: Database, clock: Clock
) -> None:
    generator, codes = enrolled(factors, user, clock)
    with database.read() as session:
        stored = session.get_one(User, user.id).totp_secret or ""
        hashes = list(session.scalars(select(RecoveryCode.hash)))
    kept = stored + "".join(hashes)
    assert generator.secret not in kept
    assert not [code for code in codes if code in kept or code.replace("-", "") in kept]
    assert factors.unseal(user.id, stored) == generator.secret


def test_a_sealed_secret_is_good_for_its_user_and_its_key_only(
    factors: SecondFactors, user: User, database: Database
) -> None:
    sealed = factors.seal(user.id, "SECRET")
    assert sealed != factors.seal(user.id, "SECRET")
    with pytest.raises(ValueError, match="another user"):
        factors.unseal("another", sealed)
    with pytest.raises(ValueError, match="another key"):
        SecondFactors(database, b"x" * 32).unseal(user.id, sealed)


def test_enrolling_needs_a_right_code_and_happens_once(
    factors: SecondFactors, user: User, database: Database, clock: Clock
) -> None:
    secret = totp.new_secret()
    wrong = f"{(int(pyotp.TOTP(secret).at(int(clock()))) + 1) % 1_000_000:06}"
    near = {pyotp.TOTP(secret).at(int(clock()) + away) for away in (-30, 30)}
    assert factors.enrol(user.id, secret, wrong) is None or wrong in near
    assert not totp.is_on(user)
    enrolled(factors, user, clock)
    with pytest.raises(RuleError, match="already"):
        enrolled(factors, user, clock)
    found = users.get(database, user.id)
    assert found is not None
    assert totp.is_on(found)


def test_a_reset_takes_secret_and_recovery_codes_away_and_is_not_for_oneself(
    factors: SecondFactors, user: User, database: Database, clock: Clock
) -> None:
    _, codes = enrolled(factors, user, clock)
    with pytest.raises(RuleError, match="nobody"):
        users.reset_second_factor(database, user.id, actor=user.id)
    after = users.reset_second_factor(database, user.id, actor="another")
    assert not totp.is_on(after)
    assert after.generation == user.generation + 1
    assert factors.use(user.id, codes[0]) is None
    assert factors.recovery_codes_left(user.id) == 0


def test_the_picture_is_plain_svg() -> None:
    picture = totp.qr_code(totp.new_secret(), "demo-doctor")
    assert picture.startswith("<svg")
    assert "style=" not in picture
    assert "href" not in picture
