"""Fixtures of real servers: one stack a session, each program started when the first test asks for it; and of
the browser that looks at them.
"""

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from demo import people
from demo.run import Run
from demo.viewer import chromium
from deploy.settings import ROOT
from tests.servers.stack import Stack, made, make_stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """A failure comes with what the servers logged: their folder goes with the run."""
    report = yield
    if report.failed:
        for stack in made:
            report.sections += [(f"Last errors of {name}", text) for name, text in stack.errors().items()]
    return report


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """The session's stack with nothing started; `servers.need(...)` starts what a test wants."""
    stack = make_stack()
    try:
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="session")
def redis_server(servers: Stack) -> Stack:
    """With Redis."""
    return servers.need("redis")


@pytest.fixture(scope="session")
def mariadb(servers: Stack) -> Stack:
    """With MariaDB, OpenEMR's tables loaded."""
    return servers.need("mariadb")


@pytest.fixture(scope="session")
def orthanc(servers: Stack) -> Stack:
    """With Orthanc."""
    return servers.need("orthanc")


@pytest.fixture(scope="session")
def hapi(servers: Stack) -> Stack:
    """With HAPI FHIR."""
    return servers.need("hapi")


@pytest.fixture(scope="session")
def stack(servers: Stack) -> Stack:
    """The whole product."""
    return servers.need()


@pytest.fixture(scope="session")
def hospital(stack: Stack) -> Iterator[Run]:
    """The whole product with an app, a login of each role (`hospital.as_("doctor")`) and two patients.

    Where the main job ran before, its people are taken.
    """
    run = Run.load(stack.base_url, stack.var, ROOT)
    run.live["dicom_port"] = stack.settings.dicom_port
    for step in people.ALL:
        step(run)
        run.save()
    yield run
    for session in run.signed_in.values():
        session.browser.close()


# Not of the session: while Playwright is open its event loop is the running one, and no async test starts.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with chromium() as opened:
        yield opened
