"""Keys: made once, private, and never one kind for another."""

import multiprocessing
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from smart_auth.keys import Keys, ReportKey, verify_detached


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site") / "keys"
    Keys(directory)
    return directory


def test_keys_are_made_once_and_readable_by_us_only(directory: Path) -> None:
    first, second = Keys(directory), Keys(directory)
    assert first.jwks() == second.jwks()
    assert first.form_secret == second.form_secret
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert len(list(directory.iterdir())) == 6, "three key pairs and three secrets, no draft"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.pem"
    ReportKey.load(path)
    path.chmod(0o640)
    with pytest.raises(PermissionError, match=r"report\.pem"):
        ReportKey.load(path)


def _kid(path: str) -> str:
    return ReportKey.load(Path(path)).kid


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        kids = pool.map(_kid, [str(tmp_path / "report.pem")] * 6)
    assert len(set(kids)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["report.pem"]


def test_a_detached_signature_covers_exactly_its_payload(directory: Path) -> None:
    keys = Keys(directory)
    signature = keys.sign_detached(b'{"a":1}')
    assert ".." in signature
    assert keys.verify_detached(b'{"a":1}', signature)
    assert not keys.verify_detached(b'{"a":2}', signature)
    for bad in ("", "..", "a..b", signature.replace("..", "."), signature[:-4], signature + ".x"):
        assert not keys.verify_detached(b'{"a":1}', bad)
    assert not verify_detached(b'{"a":1}', signature, ECKey.generate_key("P-256"))
    # The key of access tokens signs no reports.
    assert not verify_detached(b'{"a":1}', signature, keys.access)


def test_the_report_key_may_live_elsewhere_and_is_no_token_key(directory: Path, tmp_path: Path) -> None:
    keys = Keys(directory, report_key=tmp_path / "own.pem")
    assert keys.report.kid == ReportKey.load(tmp_path / "own.pem").kid
    assert keys.report.kid not in {key["kid"] for key in keys.jwks()["keys"]}
    assert "d" not in keys.report.public()
