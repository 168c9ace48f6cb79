"""The FHIR store's own tests (JUnit, deploy/hapi), run by Maven."""

import os
import subprocess

import pytest

from deploy.settings import ROOT


@pytest.mark.server
@pytest.mark.timeout(600)
def test_the_store_passes_its_own_tests() -> None:
    # Without the phase `package`: the jar that running stores have open stays as it is.
    command = ["mvn", "-q", "-B", "-ntp", "test-compile", "failsafe:integration-test", "failsafe:verify"]
    done = subprocess.run(
        command,
        cwd=ROOT / "deploy" / "hapi",
        env={**os.environ, "MAVEN_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
