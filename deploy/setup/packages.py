"""Installs Debian packages that are missing, without starting Debian's own services.

Debian starts a service when its package is installed unless /usr/sbin/policy-rc.d forbids it
(invoke-rc.d(8)); ours is there only while apt runs.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import DeployError
from deploy.setup.steps import BUILD, as_root, run

PACKAGES = (
    "redis-server",
    "mariadb-server",
    "mariadb-client",
    "nginx",
    "orthanc",
    "orthanc-dicomweb",
    "orthanc-dev",  # one header, for our plugin
    "dcmtk",
    "chromium-headless-shell",
    "fonts-nanum",  # Korean names in the viewer and in screenshots
    "gcc",
    "libc6-dev",
    "iproute2",
    "openssl",
)
SERVICES = ("redis-server", "mariadb", "nginx", "orthanc")
COMMANDS = {
    # A command that may also come from elsewhere, and the package that brings it when it is missing.
    "java": "openjdk-17-jdk-headless",
    "javac": "openjdk-17-jdk-headless",
    "mvn": "maven",
    "node": "nodejs",
    "npm": "npm",
}
MEASURING = ("wrk",)
"""What `make bench` needs beside them; installed with what the tests need."""
POLICY = Path("/usr/sbin/policy-rc.d")
SAVED = Path("/usr/sbin/policy-rc.d.before-neuronova")
MARK = "# written by NeuroNova's set-up while it installs packages"
APT = ("apt-get", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}


def install(*, tests: bool = False) -> str:
    """Install what is missing; answers what was done."""
    _restore_policy()
    missing = missing_packages(tests=tests)
    if not missing:
        return "already there"
    advice = "read the log's last lines; on another system than Debian 12 install: " + " ".join(missing)
    if shutil.which("apt-get") is None:
        raise DeployError("packages: this system has no apt-get", do=advice)
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        raise DeployError(
            "packages: neither root nor sudo", do="as root: apt-get install " + " ".join(missing)
        )
    command = ["env", *(f"{key}={value}" for key, value in QUIET.items()), *APT, "install", *missing]
    with _services_stay_off():
        try:
            run(as_root(command), step="packages", do=advice)
        except DeployError:
            # Nearly always package lists that are absent or older than the archive.
            run(
                as_root([*APT, "update"]),
                step="packages",
                do="check that this machine reaches its Debian mirror",
            )
            run(as_root(command), step="packages", do=advice)
    _keep_off_at_boot()
    return f"installed {len(missing)} packages"


def missing_packages(*, tests: bool = False) -> list[str]:
    """Names of the packages that are needed and not installed."""
    packages = PACKAGES + (MEASURING if tests else ())
    wanted = {package: _installed(package) for package in packages}
    for command, package in COMMANDS.items():
        if shutil.which(command) is None:
            wanted[package] = False
    if importlib.util.find_spec("ensurepip") is None and shutil.which("uv") is None:
        wanted["python3-venv"] = False
    return [package for package, there in wanted.items() if not there]


def _installed(package: str) -> bool:
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout == "installed"


@contextmanager
def _services_stay_off() -> Iterator[None]:
    if POLICY.exists() and subprocess.run([POLICY, "nginx", "start"], check=False).returncode == 101:
        yield  # The machine's own policy already says no (a container image, for example).
        return
    if POLICY.exists():
        run(as_root(["mv", str(POLICY), str(SAVED)]), step="packages", do=f"look at {POLICY}")
    ours = BUILD / "policy-rc.d"
    ours.parent.mkdir(parents=True, exist_ok=True)
    ours.write_text(f"#!/bin/sh\n{MARK}\nexit 101\n")
    run(as_root(["install", "-m", "755", str(ours), str(POLICY)]), step="packages", do=f"look at {POLICY}")
    try:
        yield
    finally:
        _restore_policy()


def _restore_policy() -> None:
    """Take our policy away, also one that a killed set-up left."""
    if POLICY.exists() and MARK in POLICY.read_text(errors="replace"):
        run(as_root(["rm", "-f", str(POLICY)]), step="packages", do=f"remove {POLICY}")
    if SAVED.exists() and not POLICY.exists():
        run(as_root(["mv", str(SAVED), str(POLICY)]), step="packages", do=f"move {SAVED} back to {POLICY}")


def _keep_off_at_boot() -> None:
    """Keep the packages' services from starting with the machine, unless one already runs."""
    if not Path("/run/systemd/system").exists():
        return
    for service in SERVICES:
        active = subprocess.run(["systemctl", "is-active", "--quiet", service], check=False).returncode == 0
        if not active:
            subprocess.run(
                as_root(["systemctl", "disable", "--quiet", service]), capture_output=True, check=False
            )
