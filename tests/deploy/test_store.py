"""The FHIR store's own tests (JUnit, deploy/hapi), run by Maven."""

import subprocess

import pytest

from deploy.settings import ROOT


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_store_passes_its_own_tests() -> None:
    command = ["mvn", "-q", "-B", "-ntp", "verify"]
    done = subprocess.run(command, cwd=ROOT / "deploy" / "hapi", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
