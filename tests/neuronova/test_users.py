"""Logins by the operator's command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facade.audit.spool import decode
from smart_auth import users
from smart_auth.database import Database


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
    done = run("users", "invite", "doctor.one", "--role", "doctor", "--fhir-user", "Practitioner/d1")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("http://localhost:8080/auth/invite/")
    code = done.stdout.strip().rpartition("/")[2]
    logins = database(var)
    users.accept(logins, code, "correct horse battery staple", length=12)
    logins.close()
    for arguments, state in (((), "disabled"), (("--enable",), "active")):
        assert run("users", "disable", "doctor.one", *arguments).exit_code == 0
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
        (("users", "invite", "x1", "--role", "king"), "no such role"),
        (("users", "invite", "x1", "--role", "patient"), "has a Patient as fhirUser"),
    ):
        done = run(*arguments)
        assert done.exit_code == 1
        assert said in done.stderr
        assert "Traceback" not in done.output


def test_a_folder_without_an_installation_says_what_to_do(run: Any, tmp_path: Path) -> None:
    done = run("users", "list", on=tmp_path / "nothing")
    assert done.exit_code == 1
    assert "make up" in done.stderr
