import stat
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.credentials import KEYS, NAMES, generate, key_path


def test_secrets_are_made_once_and_differ(var: Path) -> None:
    first = generate(var / "secrets")
    assert generate(var / "secrets") == first
    assert len(set(first.values())) == len(NAMES)
    assert all(len(value) >= 32 for value in first.values())


def test_secrets_and_keys_are_for_their_owner_only(var: Path) -> None:
    generate(var / "secrets")
    assert stat.S_IMODE((var / "secrets").stat().st_mode) == 0o700
    files = list((var / "secrets").iterdir())
    assert len(files) == len(NAMES) + len(KEYS)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_keys_are_p256(var: Path) -> None:
    generate(var / "secrets")
    for name in KEYS:
        key = load_pem_private_key(key_path(var / "secrets", name).read_bytes(), None)
        assert key.curve.name == "secp256r1"  # type: ignore[union-attr]


def test_a_start_that_was_killed_while_writing_is_repaired(var: Path) -> None:
    (var / "secrets").mkdir()
    (var / "secrets" / "receiver.part").write_text("half")
    assert len(generate(var / "secrets")["receiver"]) >= 32
