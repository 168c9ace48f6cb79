import base64
import hashlib
from pathlib import Path

import pytest

from deploy.errors import DeployError, PortBusyError
from deploy.setup import npm, packages, steps
from deploy.setup.steps import Step


def test_a_failed_step_says_what_failed_where_its_log_is_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steps, "BUILD", tmp_path)

    def fail() -> str:
        steps.run(
            ["sh", "-c", "echo no space left; exit 7"], step="thing", do="free some space", cwd=tmp_path
        )
        return "done"

    with pytest.raises(SystemExit) as ended:
        steps.run_all([[Step("thing", fail), Step("after", fail)]], [[Step("next stage", fail)]])
    assert ended.value.code == 1
    out, said = capsys.readouterr()
    assert "after" not in out
    assert "next stage" not in out
    assert "thing: sh ended with 7" in said
    assert "free some space" in said
    assert str(tmp_path / "log" / "thing.log") in said
    assert "no space left" in (tmp_path / "log" / "thing.log").read_text()


def test_a_command_that_is_missing_is_a_step_that_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(steps, "BUILD", tmp_path)
    with pytest.raises(DeployError, match="no-such-command does not exist"):
        steps.run(["no-such-command"], step="thing", do="install it", cwd=tmp_path)


def test_a_step_is_done_again_only_when_what_it_was_made_from_has_changed(tmp_path: Path) -> None:
    stamp = tmp_path / "a" / "stamp"
    assert not steps.stamped(stamp, "1")
    steps.write_stamp(stamp, "1")
    assert steps.stamped(stamp, "1")
    assert not steps.stamped(stamp, "2")


def test_services_may_not_start_while_packages_are_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "POLICY", policy)
    monkeypatch.setattr(packages, "SAVED", tmp_path / "saved")
    monkeypatch.setattr(packages, "as_root", list)
    for before in (None, "#!/bin/sh\nexit 0\n"):
        if before is not None:
            policy.write_text(before)
            policy.chmod(0o755)
        with packages._services_stay_off():
            assert policy.read_text().endswith("exit 101\n")
            assert policy.stat().st_mode & 0o111
        assert (policy.read_text() if policy.exists() else None) == before


def test_a_policy_that_a_killed_set_up_left_is_taken_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy, saved = tmp_path / "policy-rc.d", tmp_path / "saved"
    monkeypatch.setattr(packages, "POLICY", policy)
    monkeypatch.setattr(packages, "SAVED", saved)
    monkeypatch.setattr(packages, "as_root", list)
    policy.write_text(f"#!/bin/sh\n{packages.MARK}\nexit 101\n")
    saved.write_text("the machine's own")
    packages._restore_policy()
    assert policy.read_text() == "the machine's own"


def test_a_package_with_another_hash_is_never_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(npm, "BUILD", tmp_path)

    def deliver(command: list[str], **_: object) -> None:
        (Path(command[-1]) / "app.tgz").write_bytes(b"something else")

    monkeypatch.setattr(npm, "run", deliver)
    pinned = {"name": "@ohif/app", "version": "3.13.2", "integrity": "sha512-AAAA"}
    with pytest.raises(DeployError, match="pinned hash"):
        npm.fetch(pinned, step="viewer")


def test_an_archive_with_the_pinned_hash_is_not_fetched_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(npm, "BUILD", tmp_path)
    archive = tmp_path / "npm" / "@ohif-app" / "app.tgz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"right")
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(b"right").digest()).decode()
    pinned = {"name": "@ohif/app", "version": "3.13.2", "integrity": integrity}
    assert npm.fetch(pinned, step="viewer") == archive


def test_a_busy_port_is_named_with_the_setting_that_moves_it() -> None:
    text = str(PortBusyError("127.0.0.1", 8090, "hapi", "DEPLOY_HAPI_PORT"))
    assert "127.0.0.1:8090" in text
    assert "hapi" in text
    assert "DEPLOY_HAPI_PORT=" in text
