from collections.abc import AsyncIterator

import pytest

from imaging.child import Children
from imaging.orthanc import OrthancClient
from tests.servers.stack import Stack


@pytest.fixture
async def client(orthanc: Stack) -> AsyncIterator[OrthancClient]:
    """Real Orthanc's client. Tests use UIDs of their own, so that they share one server."""
    async with OrthancClient(orthanc.orthanc_url, *orthanc.orthanc_login) as made:
        yield made


@pytest.fixture(scope="session")
async def children() -> AsyncIterator[Children]:
    """Two children for the session."""
    async with Children(2) as made:
        yield made
