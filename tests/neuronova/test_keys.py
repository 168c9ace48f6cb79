"""Rotation of signing keys by the operator's command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from smart_auth.keys import Keys


def states(run: Any, name: str) -> list[str]:
    rows = json.loads(run("keys", "list", "--json").stdout)
    return [row["state"] for row in rows if row["name"] == name]


def test_keys_are_listed_rotated_and_replaced(run: Any, var: Path) -> None:
    before = Keys(var / "keys")
    kid = before.access_kid
    assert states(run, "access-token") == ["signing"]
    done = run("keys", "rotate")
    assert done.exit_code == 0, done.output
    assert "signs in" in done.stdout
    assert states(run, "access-token") == states(run, "id-token") == ["signing", "published"]
    assert run("keys", "rotate").exit_code == 1
    assert run("keys", "rotate", "--revoke-old").exit_code == 0
    assert states(run, "access-token") == states(run, "id-token") == ["signing"]
    after = Keys(var / "keys")
    assert after.access_kid != kid
    assert after.report.kid == before.report.kid
    assert {path.stat().st_mode & 0o777 for path in (var / "keys").iterdir()} == {0o600}
    assert after.access_kid in run("keys", "list").stdout
