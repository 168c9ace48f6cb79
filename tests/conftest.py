"""What holds for every test: real servers on request, no network beyond this machine, a clean end."""

import gc
import ipaddress
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import NodeManager

from tests.servers.stack import FOLDER

pytest_plugins = ["tests.servers.fixtures"]

# What modules leave is no garbage; to look through it takes 0.2 s each time (a seventh of the quick tests).
gc.disable()

ORDER = {
    # It begins with an installation that has no administrator yet, and leaves the people of `hospital`.
    "tests/flows/test_main_job.py": "hospital",
    "tests/flows/*": "hospital",
    "tests/clients/*": "hospital",
    # They read the whole trail again and again, and every test that comes before makes it longer.
    "tests/facade/audit/test_trail.py": "store",
    "tests/neuronova/test_audit.py": "store",
    "tests/facade/*_server.py": "store",
    "tests/smart_auth/*_server.py": "store",
    "tests/flows/test_login_server.py": "store",
    "tests/hapi/*": "store",
    "tests/deploy/test_servers.py": "store",
    "tests/subscriptions/test_registration.py": "store",
    "tests/inference/test_report_server.py": "store",
    "tests/neuronova/test_study.py": "store",
    "tests/escape/*": "escape",
    "tests/facade/audit/test_tamper_server.py": "",
    "tests/deploy/test_store.py": "",
    "tests/deploy/test_teardown.py": "",
    "tests/imaging/*": "",
    "tests/inference/*": "",
    "tests/subscriptions/test_worker.py": "",
    "tests/smart_auth/*": "",
}
"""Files: what comes first, in this order, and what stays in one process because of what it shares: servers
that are slow to start, the people of a hospital. What needs HAPI and stands in no part starts one of its own;
in facade and smart_auth it is named `*_server.py`. The longest pattern counts. Long parts come first, so that
the processes end at about the same time."""


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
        # The folder of every stack of this run, of its other processes too: whoever is killed, it goes.
        folder = tempfile.mkdtemp(prefix="nn", dir="/tmp")
        Path(folder).chmod(0o711)  # MariaDB's system user passes through
        os.environ[FOLDER] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        # Servers need longer to stop than what the other processes are given.
        NodeManager.EXIT_TIMEOUT = 15
        if config.option.numprocesses:
            gc.enable()  # this process collects no tests


def _pattern(nodeid: str) -> str:
    """The key of ORDER that counts for a test, or nothing."""
    file = nodeid.partition("::")[0]
    return max((pattern for pattern in ORDER if fnmatchcase(file, pattern)), key=len, default="")


class ByPart(LoadScopeScheduling):
    """Deals out what stays together, then files, in their order, to the process that is free."""

    def _split_scope(self, nodeid: str) -> str:
        return ORDER.get(_pattern(nodeid)) or nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByPart:
    """Where a run has several processes (`--numprocesses 3`)."""
    return ByPart(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring what comes first to the front."""
    places = {pattern: place for place, pattern in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(_pattern(item.nodeid), len(places)))


def pytest_collection_finish() -> None:
    """From here on only what tests make is looked through."""
    gc.collect()
    gc.freeze()
    gc.enable()


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
