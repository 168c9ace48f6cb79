"""The main job through the public door: the demo's own steps, in order, on a small study."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pymysql
import pytest
from sqlalchemy.engine import make_url

from demo.__main__ import STEPS
from demo.app import Session
from demo.run import Run, Step, StepFailedError
from tests.servers.stack import Stack, wait_for

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


def test_a_report_that_is_amended_and_then_withdrawn_follows_into_openemr(run: Run, stack: Stack) -> None:
    radiologist = run.sign_in_again("rib")
    reference = run.facts["report"]
    report = radiologist.read(reference)
    value = radiologist.read(report["result"][0]["reference"])
    value["valueQuantity"]["value"] = 123.5
    parameters = [{"name": "report", "resource": report | {"conclusion": "Measured again."}}]
    parameters += [{"name": "observation", "resource": value}]
    _sign(radiologist, reference, "amended", parameters)
    wait_for(lambda: _rows(stack, value["id"]) == ("correct", "123.5", "correct"), "the amendment in OpenEMR")
    _sign(radiologist, reference, "entered-in-error", [])
    wait_for(lambda: _rows(stack, value["id"]) == ("error", "123.5", "error"), "the withdrawal in OpenEMR")
    mine = run.as_("patient").read(reference)
    assert (mine["status"], mine["code"]) == ("entered-in-error", {"text": "withdrawn"})
    assert "conclusion" not in mine


def _sign(radiologist: Session, reference: str, status: str, parameters: list[dict[str, Any]]) -> None:
    version = radiologist.read(reference)["meta"]["versionId"]
    given = [{"name": "status", "valueCode": status}, {"name": "reason", "valueString": "second reading"}]
    answer = radiologist.fhir(
        "POST",
        f"{reference}/$sign",
        json={"resourceType": "Parameters", "parameter": [*given, *parameters]},
        headers={"If-Match": f'W/"{version}"'},
    )
    assert answer.status_code == 200, answer.text


def _rows(stack: Stack, observation_id: str) -> tuple[str, ...] | None:
    """Status of the report, value and status of the result, as OpenEMR has them."""
    login: dict[str, Any] = make_url(stack.openemr_url).translate_connect_args(username="user")
    with pymysql.connect(**login) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.report_status, r.result, r.result_status FROM procedure_result r"
            " JOIN procedure_report p USING (procedure_report_id) WHERE r.uuid = %s",
            (UUID(observation_id).bytes,),
        )
        return cursor.fetchone()


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
