"""Generates the installation's secrets and keys once, each in a file that only its owner may read."""

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = (
    "hapi-facade",
    "hapi-nginx",
    "hapi-receiver",
    "hapi-workers",
    "hapi-shipper",
    "hapi-retention",
    "hapi-database",
    "receiver",
    "orthanc-imaging",
    "orthanc-nginx",
    "mariadb-oesync",
    "mariadb-openemr",
)
"""One secret per caller and server: a caller that is lost gives away what it could do, not more."""

KEYS = ("audit", "report-signing")
"""ES256 keys (P-256): the trail's and the reports' signatures never share one with the login's tokens."""


def generate(folder: Path) -> dict[str, str]:
    """Make what is missing, and answer every secret by name."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    for name in NAMES:
        if not (folder / name).exists():
            # Letters and digits only: it goes unchanged through shells, SQL, JSON and nginx.
            _write(folder / name, secrets.token_hex(24).encode())
    for name in KEYS:
        path = key_path(folder, name)
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
            _write(path, key.private_bytes(encoding, form, serialization.NoEncryption()))
    return {name: (folder / name).read_text().strip() for name in NAMES}


def key_path(folder: Path, name: str) -> Path:
    """Where a private key lies."""
    return folder / f"{name}.pem"


def _write(path: Path, content: bytes) -> None:
    """Whole, durable and private from the first byte."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
