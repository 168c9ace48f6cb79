"""Fetches packages from npm: pinned by version and hash, and never used with another hash.

Nothing of a package is run: `npm pack` only downloads the archive. A pin is `{name, version, integrity}`, the
integrity in npm's own form (Subresource Integrity, SHA-512).
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from deploy.errors import DeployError
from deploy.setup.steps import BUILD, run


def unpack(pinned: Mapping[str, str], target: Path, *members: str, step: str) -> None:
    """Unpack the package (or these members of it, all below `package/`) into a folder, which is made."""
    archive = fetch(pinned, step=step)
    target.mkdir(parents=True, exist_ok=True)
    command = ["tar", "--no-same-owner", "-xzf", str(archive), "-C", str(target), *members]
    run(command, step=step, do=f"remove {archive} and run again")


def fetch(pinned: Mapping[str, str], *, step: str) -> Path:
    """The package's archive, from an earlier run or from npm."""
    name, version = pinned["name"], pinned["version"]
    folder = BUILD / "npm" / name.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    for archive in folder.glob("*.tgz"):
        if integrity(archive) == pinned["integrity"]:
            return archive
        archive.unlink()
    advice = "check that this machine reaches its npm registry; the log has npm's own words"
    run(
        ["npm", "pack", f"{name}@{version}", "--pack-destination", str(folder)],
        step=step,
        do=advice,
        cwd=folder,
    )
    for archive in folder.glob("*.tgz"):
        if integrity(archive) == pinned["integrity"]:
            return archive
    raise DeployError(
        f"{step}: what npm delivered as {name} {version} has not the pinned hash",
        do="do not use it; compare with the pinned.json that names it",
        log=folder,
    )


def integrity(archive: Path) -> str:
    """npm's integrity value of a file."""
    return "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
