"""What a server in the tests' own process need not do again for each test: hash dearly, read keys, migrate.

A conftest takes the fixtures by name.
"""

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from joserfc.jwk import RSAKey

from smart_auth import key_ring, passwords
from smart_auth.database import Database
from tests.servers.stack import FOLDER


class ReadOnce(RSAKey):
    """OpenSSL looks for 0.12 s whether the numbers of a key are primes, each time that it is read."""

    @classmethod
    @functools.cache
    def import_key(cls, value: Any) -> Any:
        """The same key for the same file."""
        return RSAKey.import_key(value)


@pytest.fixture(autouse=True, scope="session")
def cheap_secrets() -> None:
    """Keys are read once; passwords are hashed by the same function with less memory (many tests log in)."""
    key_ring.RSAKey = ReadOnce  # type: ignore[misc]
    passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


@pytest.fixture(scope="session", name="keys_dir")
def made_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys are made once a session (RSA takes its time)."""
    return tmp_path_factory.mktemp("keys")


@functools.cache
def _tables() -> bytes:
    """A database as the migrations leave it: they take longer than most tests."""
    with tempfile.TemporaryDirectory(dir=os.environ.get(FOLDER)) as directory:
        path = Path(directory) / "smart_auth.db"
        database = Database(f"sqlite:///{path}")
        database.migrate()
        database.close()
        return path.read_bytes()


def tables_in(directory: Path) -> str:
    """URL of a database in this folder, with its tables if it is new."""
    path = directory / "smart_auth.db"
    if not path.exists():
        path.write_bytes(_tables())
        path.chmod(0o600)
    return f"sqlite:///{path}"
