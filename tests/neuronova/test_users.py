"""Logins by the operator's command."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from facade.audit.spool import decode
from smart_auth import users
from smart_auth.database import Database
from smart_auth.models import User
from smart_auth.revocations import Feed
from smart_auth.session import Sessions
from smart_auth.store import Store
from smart_auth.throttle import Throttle


def database(var: Path) -> Database:
    return Database(f"sqlite:///{var}/smart_auth.db")


def records(var: Path) -> list[dict[str, Any]]:
    found = []
    for segment in sorted((var / "spool").glob("*.spool")):
        for line in segment.read_bytes().splitlines():
            record = decode(line)
            assert record is not None
            found.append(record["event"])
    return found


def test_the_printed_code_makes_the_first_administrator(run: Any, var: Path) -> None:
    done = run("users", "bootstrap", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["url"] == "http://localhost:8080/auth/setup"
    logins = database(var)
    made = users.set_up(logins, printed["code"], "first", "correct horse battery staple", length=12)
    assert made.role == "admin"
    logins.close()
    again = run("users", "bootstrap")
    assert again.exit_code == 1
    assert "administrator already" in again.stderr


def test_an_invited_user_is_listed_and_can_be_disabled_and_enabled(run: Any, var: Path) -> None:
    done = run("users", "add", "doctor.one", "--role", "doctor", "--fhir-user", "Practitioner/d1")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("http://localhost:8080/auth/invite/")
    code = done.stdout.strip().rpartition("/")[2]
    logins = database(var)
    users.accept(logins, code, "correct horse battery staple", length=12)
    logins.close()
    for command, state in (("disable", "disabled"), ("enable", "active")):
        assert run("users", command, "doctor.one").exit_code == 0
        listed = json.loads(run("users", "list", "--json").stdout)
        assert [(user["username"], user["role"], user["status"]) for user in listed] == [
            ("doctor.one", "doctor", state)
        ]


def test_what_the_operator_does_is_recorded_and_holds_no_secret(run: Any, var: Path) -> None:
    code = json.loads(run("users", "bootstrap", "--json").stdout)["code"]
    (event,) = records(var)
    assert event["agent"][0]["role"][0]["coding"][0]["code"] == "operator"
    assert code not in json.dumps(event)


def test_without_a_record_nothing_is_done(run: Any, var: Path) -> None:
    (var / "spool").write_text("not a folder")
    done = run("users", "bootstrap")
    assert done.exit_code == 1
    assert len(done.stdout.split()) == 0


def test_mistakes_are_one_sentence(run: Any, tmp_path: Path) -> None:
    for arguments, said in (
        (("users", "disable", "nobody"), "no such user"),
        (("users", "add", "x1", "--role", "king"), "no such role"),
        (("users", "add", "x1", "--role", "patient"), "has a Patient as fhirUser"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1
        assert said in done.stderr
        assert "Traceback" not in done.output


def made(run: Any, var: Path, role: str = "doctor") -> tuple[Database, User]:
    """A login with a password."""
    code = run("users", "add", "doctor.one", "--role", role).stdout.strip().rpartition("/")[2]
    logins = database(var)
    return logins, users.accept(logins, code, "correct horse battery staple", length=12)


def about(event: dict[str, Any]) -> dict[str, str]:
    return {
        detail["type"]: detail["valueString"]
        for entity in event["entity"]
        for detail in entity.get("detail", [])
    }


def test_every_grant_of_a_role_is_recorded_with_who_and_which(run: Any, var: Path) -> None:
    logins, user = made(run, var)
    assert run("users", "set-role", "doctor.one", "--role", "rib").exit_code == 0
    after = users.get(logins, user.id)
    assert after is not None
    assert (after.role, after.generation) == ("rib", user.generation + 1)
    granted = [about(event) for event in records(var) if "role-granted" in json.dumps(event)]
    assert [(one["target"], one["role"]) for one in granted] == [(user.id, "doctor"), (user.id, "rib")]
    logins.close()


def test_a_role_is_not_granted_when_it_cannot_be_recorded(run: Any, var: Path) -> None:
    logins, user = made(run, var)
    shutil.rmtree(var / "spool")
    (var / "spool").write_text("not a folder")
    assert run("users", "set-role", "doctor.one", "--role", "admin").exit_code == 1
    after = users.get(logins, user.id)
    assert after is not None
    assert (after.role, after.generation) == ("doctor", user.generation)
    logins.close()


def test_a_lock_is_shown_and_taken_away(run: Any, var: Path) -> None:
    logins, _ = made(run, var)
    throttle = Throttle(logins, lock_after=1, lock_s=900)
    settled = json.loads(run("users", "show", "doctor.one", "--json").stdout)
    assert (settled["failures"], settled["lockedUntil"]) == (0, None)
    now = [0.0]
    guesses = Throttle(logins, lock_after=10, lock_s=900, clock=lambda: time.time() + now[0])
    for _ in range(10):
        assert guesses.attempt("doctor.one", None) == 0
        now[0] += 1000
    assert throttle.attempt("doctor.one", None) > 0
    assert "active, locked" in run("users", "list").stdout
    assert run("users", "unlock", "doctor.one").exit_code == 0
    assert throttle.attempt("doctor.one", None) == 0
    logins.close()


def test_a_reset_and_the_end_of_all_sessions_raise_the_generation(run: Any, var: Path) -> None:
    logins, user = made(run, var)
    assert run("users", "end-sessions", "doctor.one").exit_code == 0
    assert run("users", "reset-totp", "doctor.one").exit_code == 0
    link = run("users", "reset", "doctor.one").stdout.strip()
    after = users.get(logins, user.id)
    assert after is not None
    assert after.generation == user.generation + 3
    assert after.password_hash is None
    assert users.is_invited(logins, link.rpartition("/")[2])
    logins.close()


@pytest.mark.server
def test_sessions_of_a_user_are_listed(run: Any, var: Path, redis_server: Any) -> None:
    logins, user = made(run, var)
    environment = var / "etc" / "env" / "facade.env"
    environment.write_text(
        environment.read_text().replace("unix:///unused", f"{redis_server.redis_url}?db=12")
    )

    async def start() -> None:
        redis = Redis.from_url(redis_server.redis_url, db=12)
        feed = Feed(logins)
        feed.refresh()
        sessions = Sessions(Store(redis), feed, lifetime_s=60, origin="http://localhost:8080")
        await sessions.start(user, address="192.0.2.7", browser="Firefox, Linux")
        await redis.aclose()

    asyncio.run(start())
    (listed,) = json.loads(run("users", "sessions", "doctor.one", "--json").stdout)
    assert (listed["address"], listed["browser"]) == ("192.0.2.7", "Firefox, Linux")
    assert run("users", "end-sessions", "doctor.one").exit_code == 0
    assert json.loads(run("users", "sessions", "doctor.one", "--json").stdout) == []
    logins.close()


def test_a_folder_without_an_installation_says_what_to_do(run: Any, tmp_path: Path) -> None:
    done = run("users", "list", on=tmp_path / "nothing")
    assert done.exit_code == 1
    assert "make up" in done.stderr
