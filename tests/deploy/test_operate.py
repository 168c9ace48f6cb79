import dataclasses
import socket
from pathlib import Path

import pytest

from deploy import operate, programs
from deploy.errors import DeployError, PortBusyError
from deploy.settings import Settings
from deploy.setup import steps


def test_a_busy_port_stops_the_start_before_anything_runs(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = dataclasses.replace(settings, mariadb_port=other.getsockname()[1])
        with pytest.raises(PortBusyError, match="DEPLOY_MARIADB_PORT"):
            operate.up(taken, ["mariadb"])


def test_only_the_ports_of_the_chosen_programs_matter(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = dataclasses.replace(settings, mariadb_port=other.getsockname()[1])
        operate._ports_are_free(taken, ["redis", "hapi"])


def test_an_unknown_program_is_named_with_the_known_ones(settings: Settings) -> None:
    with pytest.raises(DeployError, match=r"rediss\n.*redis, mariadb"):
        operate.choose(settings, ["rediss"])


def test_stopping_what_does_not_run_is_no_error(var: Path) -> None:
    assert operate.down(var) is False


def test_changed_code_is_noticed_by_the_programs_that_run_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = ("facade", "hapi", "nginx")

    def digests() -> list[str]:
        programs.code.cache_clear()
        return [programs.code(name) for name in names]

    monkeypatch.setattr(steps, "ROOT", tmp_path)
    monkeypatch.setattr(programs, "ROOT", tmp_path)
    monkeypatch.setattr(programs, "BUILD", tmp_path)
    before = digests()
    (tmp_path / "facade").mkdir()
    (tmp_path / "facade" / "app.py").write_text("one")
    (tmp_path / "hapi.stamp").write_text("two")
    assert [old != new for old, new in zip(before, digests(), strict=True)] == [True, True, False]
    programs.code.cache_clear()
