"""What holds for every test: real servers on request, no network beyond this machine, a clean end."""

import ipaddress
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import NodeManager

from tests.servers.stack import FOLDER

pytest_plugins = ["tests.servers.fixtures"]

FIRST = (
    "tests/flows/test_main_job.py",  # it begins with an installation that has no administrator yet
    "tests/flows/",
    "tests/clients/",
    # They read the whole trail again and again, and every test that comes before makes it longer.
    "tests/facade/audit/",
    "tests/neuronova/test_audit.py",
    "tests/facade/",
    "tests/escape/",
    "tests/smart_auth/",
    "tests/deploy/",
    "tests/hapi/",
    "tests/subscriptions/",
    "tests/mappers/",
    "tests/inference/",
)
"""What comes first, in this order: the long parts, so that two processes end at about the same time."""
_WHOLE = {
    "flows": "flows",
    # Both want the people of `hospital`, whose administrator is an installation's first.
    "clients": "flows",
    "facade": "facade",
    "neuronova": "facade",
    "escape": "escape",
    "smart_auth": "smart_auth",
}
"""Folders that stay together, and under which name: what they share is slow to make."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """A run that must be complete says so."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test makes the run fail")


def pytest_configure(config: pytest.Config) -> None:
    """A terminated run ends like one that was interrupted: with its servers stopped."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if not hasattr(config, "workerinput"):
        config.option.loadscopereorder = False
        # The folder of every stack of this run, of its second process too: whoever is killed, it goes.
        folder = tempfile.mkdtemp(prefix="nn", dir="/tmp")
        Path(folder).chmod(0o711)  # MariaDB's system user passes through
        os.environ[FOLDER] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        # Servers need longer to stop than what the second process is given.
        NodeManager.EXIT_TIMEOUT = 15


class ByFolder(LoadScopeScheduling):
    """Deals out what stays together, then files, in their order, to the process that is free."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        return _WHOLE.get(folder, nodeid.split("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFolder:
    """Where a run has two processes (`--numprocesses 2`)."""
    return ByFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring what comes first to the front."""

    def place(item: pytest.Item) -> int:
        starts = (number for number, start in enumerate(FIRST) if item.nodeid.startswith(start))
        return next(starts, len(FIRST))

    items.sort(key=place)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under --no-skips a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Tests reach this machine only; a name that must be looked up elsewhere is an error."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            raise PermissionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign, assignment]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
