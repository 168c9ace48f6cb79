"""Clients by the operator's command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from smart_auth import clients
from smart_auth.database import Database


def register(run: Any, *more: str) -> Any:
    return run("clients", "register", "--name", "Demo", "--scope", "openid user/Patient.rs", *more)


def test_a_public_app_is_registered_listed_and_disabled(run: Any) -> None:
    done = register(run, "--redirect-uri", "http://127.0.0.1:9999/callback", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert set(printed) == {"client_id"}
    for arguments, state in (((), "disabled"), (("--enable",), "active")):
        assert run("clients", "disable", printed["client_id"], *arguments).exit_code == 0
        (listed,) = json.loads(run("clients", "list", "--json").stdout)
        assert (listed["id"], listed["kind"], listed["status"]) == (printed["client_id"], "public", state)


def test_a_secret_is_shown_once_and_can_be_rotated(run: Any) -> None:
    done = register(
        run,
        "--kind",
        "confidential",
        "--client-id",
        "app-1",
        "--redirect-uri",
        "https://app.example/cb",
        "--json",
    )
    first = json.loads(done.stdout)["client_secret"]
    second = json.loads(run("clients", "rotate-secret", "app-1", "--json").stdout)["client_secret"]
    assert first != second
    assert first not in run("clients", "list", "--json").stdout
    assert second not in run("clients", "list", "--json").stdout


def test_a_back_end_needs_role_and_keys(run: Any, tmp_path: Path) -> None:
    refused = register(run, "--kind", "backend", "--role", "doctor")
    assert refused.exit_code == 1
    assert "public keys" in refused.stderr
    key = ECKey.generate_key("P-384", {"kid": "one", "use": "sig", "alg": "ES384"})
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    done = run(
        "clients", "register", "--name", "Back end", "--scope", "system/Patient.rs",
        "--client-id", "back-end", "--kind", "backend", "--role", "doctor", "--jwks", str(jwks),
    )  # fmt: skip
    assert done.exit_code == 0, done.output


def test_a_private_key_is_refused(run: Any, tmp_path: Path) -> None:
    key = ECKey.generate_key("P-384", {"kid": "one"})
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
    done = register(run, "--kind", "backend", "--role", "doctor", "--jwks", str(jwks))
    assert done.exit_code == 1


def test_a_registration_is_approved_changed_and_rejected(run: Any, var: Path) -> None:
    database = Database(f"sqlite:///{var}/smart_auth.db")
    database.migrate()
    for client_id in ("waiting-1", "waiting-2"):
        clients.register(
            database,
            client_id,
            kind="public",
            name="W",
            scope="openid user/*.cruds",
            redirect_uris=["https://app.example/cb"],
            pending=True,
        )
    listed = json.loads(run("clients", "list", "--pending", "--json").stdout)
    assert [one["id"] for one in listed] == ["waiting-1", "waiting-2"]
    assert run("clients", "enable", "waiting-1").exit_code == 1
    done = run("clients", "approve", "waiting-1", "--scope", "openid user/Patient.rs")
    assert done.exit_code == 0, done.output
    assert run("clients", "approve", "waiting-1").exit_code == 1
    assert run("clients", "reject", "waiting-1").exit_code == 1
    assert run("clients", "reject", "waiting-2").exit_code == 0
    arguments = ("--cors-origin", "https://app.example", "--launch-uri", "https://app.example/l", "--trusted")
    assert run("clients", "set", "waiting-1", *arguments).exit_code == 0
    shown = json.loads(run("clients", "show", "waiting-1", "--json").stdout)
    assert shown["status"] == "active"
    assert shown["scope"] == "openid user/Patient.rs"
    assert shown["cors_origins"] == ["https://app.example"]
    assert shown["trusted"] is True
    assert "https://app.example/l" in run("clients", "show", "waiting-1").stdout
    assert run("clients", "set", "waiting-1", "--cors-origin", "", "--no-trusted").exit_code == 0
    shown = json.loads(run("clients", "show", "waiting-1", "--json").stdout)
    assert (shown["cors_origins"], shown["trusted"]) == ([], False)
    assert run("clients", "set", "waiting-1").exit_code == 1
    assert run("clients", "show", "unknown").exit_code == 1
    database.close()
