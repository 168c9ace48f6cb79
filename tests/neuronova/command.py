"""The operators' command, in this process: one of its own costs a second of imports each time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from neuronova.cli import app


def neuronova(var: Path, *arguments: str) -> Result:
    """Run a command on the installation in `var`; the environment is afterwards what it was."""
    before = dict(os.environ)
    try:
        # A thread has no event loop yet, as a process of its own has none.
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(CliRunner().invoke, app, ["--var", str(var), *arguments]).result()
    finally:
        os.environ.clear()
        os.environ.update(before)
