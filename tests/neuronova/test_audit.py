"""`neuronova audit` on a real trail, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from facade.hapi import HAPIClient
from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server
START = "from neuronova.cli import app; app()"


@pytest.fixture(scope="module")
def shipping(servers: Stack) -> Stack:
    return servers.need("hapi", "audit-shipper")


def neuronova(stack: Stack, *arguments: str, var: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START, "--var", str(var or stack.var), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_whole_trail_is_verified_with_exit_code_0(shipping: Stack) -> None:
    done = neuronova(shipping, "audit", "verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the trail is whole: ")


async def test_reading_the_trail_is_in_the_trail(shipping: Stack) -> None:
    before = _sequence(shipping)
    assert neuronova(shipping, "audit", "verify", "--json").returncode == 0
    wait_for(lambda: _sequence(shipping) > before, "the reading to be shipped")
    async with HAPIClient(shipping.hapi_url, shipping.secrets["hapi-shipper"]) as hapi:
        found = await hapi.search("AuditEvent", [("_sort", "-_lastUpdated"), ("type", "110101")], count=1)
    (entry,) = found["entry"]
    assert entry["resource"]["source"]["observer"]["identifier"]["value"] == "operator"


def _sequence(stack: Stack) -> int:
    path = stack.var / "audit" / "state.json"
    return int(json.loads(path.read_text())["sequence"]) if path.exists() else 0


def test_a_break_is_named_with_exit_code_1(shipping: Stack, tmp_path: Path) -> None:
    # The shipper's own word that there was more than HAPI has: what a truncated store looks like.
    folder = tmp_path / "etc" / "env"
    folder.mkdir(parents=True)
    state = tmp_path / "audit"
    state.mkdir()
    (state / "state.json").write_text(json.dumps({"sequence": 999_999_999, "hash": "0" * 64, "cursors": {}}))
    lines = (shipping.var / "etc" / "env" / "audit-shipper.env").read_text()
    (folder / "audit-shipper.env").write_text(lines.replace(f"{shipping.var}/audit", str(state)))
    done = neuronova(shipping, "audit", "verify", var=tmp_path)
    assert done.returncode == 1
    assert "truncated" in done.stdout


def test_status_tells_backlog_and_drain_rate(shipping: Stack) -> None:
    status = json.loads(neuronova(shipping, "audit", "status", "--json").stdout)
    assert {"backlog_records", "backlog_bytes", "drain_per_s", "unconfirmed", "sequence"} <= set(status)
