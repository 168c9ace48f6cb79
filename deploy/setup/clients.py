"""Fetches what strangers bring to the tests: their client libraries and the standard's own examples."""

import json
import shutil
from pathlib import Path

from deploy.setup import npm
from deploy.setup.steps import BUILD, ROOT, digest, stamped, write_stamp

PINNED = ROOT / "tests" / "clients" / "pinned.json"
CLIENTS = BUILD / "clients"


def build() -> str:
    """Unpack every pinned package to `.build/clients/NAME/package`."""
    stamp, value = BUILD / "clients.stamp", digest([PINNED, Path(__file__)])
    packages = json.loads(PINNED.read_text())
    if stamped(stamp, value) and all((CLIENTS / package["name"]).exists() for package in packages):
        return "already there"
    part = BUILD / "clients.part"
    shutil.rmtree(part, ignore_errors=True)
    for package in packages:
        npm.unpack(package, part / package["name"], step="clients")
    shutil.rmtree(CLIENTS, ignore_errors=True)
    part.replace(CLIENTS)
    write_stamp(stamp, value)
    return f"{len(packages)} packages"
