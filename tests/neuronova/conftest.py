"""The command as an operator runs it, on an installation that has what a test needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.neuronova.command import neuronova

Run = Callable[..., Result]


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """An installation with logins, clients and a spool, and no server."""
    folder = tmp_path / "etc" / "env"
    folder.mkdir(parents=True)
    (folder / "facade.env").write_text(
        f"FACADE_SPOOL_DIR='{tmp_path}/spool'\n"
        f"SMART_AUTH_DATABASE_URL='sqlite:///{tmp_path}/smart_auth.db'\n"
        "SMART_AUTH_ISSUER='http://localhost:8080/auth'\n"
        "SMART_AUTH_AUDIENCE='http://localhost:8080/fhir'\n"
        f"SMART_AUTH_KEYS_DIR='{tmp_path}/keys'\n"
        "SMART_AUTH_REDIS_URL='unix:///unused'\n"
    )
    return tmp_path


@pytest.fixture
def run(var: Path) -> Run:
    """Run a command on that installation."""

    def invoke(*arguments: str, on: Path = var) -> Result:
        return neuronova(on, *arguments)

    return invoke
