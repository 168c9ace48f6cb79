"""A rendered installation without any server."""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.__main__ import free_ports
from deploy.render import render
from deploy.settings import Settings


@pytest.fixture
def var() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="nn", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def settings(var: Path) -> Settings:
    return free_ports(dataclasses.replace(Settings(), var=var))


@pytest.fixture
def rendered(settings: Settings) -> Settings:
    render(settings)
    return settings
