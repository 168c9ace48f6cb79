"""The main job through the public door: the demo's own steps, in order, on a small study."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.__main__ import STEPS
from demo.run import Run, Step, StepFailedError
from tests.servers.stack import Stack

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
NAMES = ("Patient One", "Patient^Patient", "시험", "환자", "CompressedSamples")
"""Parts of the patients' names that no log may have."""


@pytest.fixture(scope="module")
def run(stack: Stack) -> Iterator[Run]:
    """One run of the demo against the test's own product."""
    run = Run.load(stack.base_url, stack.var, REPOSITORY)
    run.size = "small"
    run.live["dicom_port"] = stack.settings.dicom_port
    run.live["held"] = []
    yield run
    if "news" in run.live:
        run.live["news"].close()
    for session in run.signed_in.values():
        session.browser.close()


@pytest.mark.parametrize("step", STEPS, ids=[step.title.replace(" ", "-") for step in STEPS])
def test_each_step_of_the_main_job_holds(run: Run, step: Step) -> None:
    before = STEPS[: STEPS.index(step)]
    if missing := [one.title for one in before if one.title not in run.live["held"]]:
        raise StepFailedError(f"an earlier step did not hold: {missing[0]}")
    assert step.do(run)
    run.save()
    run.live["held"].append(step.title)


def test_no_log_has_a_name_a_birth_date_a_password_or_a_token(run: Run) -> None:
    secrets = [person["password"] for person in run.facts["people"].values()]
    for session in run.signed_in.values():
        secrets += [session.token["access_token"], session.token["refresh_token"]]
    forbidden = [*NAMES, "1970-01-01", "19700101", *secrets]
    logs = [path for path in (run.var / "log").rglob("*") if path.is_file()]
    assert len(logs) > 10
    found = {
        (path.name, text[:12])
        for path in logs
        for content in [path.read_text(errors="replace")]
        for text in forbidden
        if text in content
    }
    assert found == set()


def test_the_facts_are_readable_by_their_owner_only(run: Run) -> None:
    run.save()
    assert run.path.stat().st_mode & 0o077 == 0
    assert re.search(r'"password": "\S{20,}"', run.path.read_text())
