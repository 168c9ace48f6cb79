"""One transaction holds the whole result; sent twice, it leaves one; a signed report is never touched."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from inference.bundle import Bundle
from inference.errors import StaleTaskError
from inference.findings import Finding
from inference.report import Earlier, Segmentation, transaction

KEY = "ab" * 32
NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
SEG = Segmentation("2.25.1", "2.25.2")
FINDINGS = [
    Finding("TC", "tumour-core-volume", "Tumour core", 7.232, 0.979),
    Finding("WT", "whole-tumour-volume", "Whole tumour", 22.522, 0.977),
    Finding("ET", "enhancing-tumour-volume", "Enhancing tumour", 4.887, 0.965),
]
STUDY = {
    "resourceType": "ImagingStudy",
    "id": "study-1",
    "meta": {"versionId": "3"},
    "status": "available",
    "subject": {"reference": "Patient/p1"},
    "started": "2026-01-05T09:00:00+09:00",
    "basedOn": [{"reference": "ServiceRequest/order-1"}],
}
TASK = {
    "resourceType": "Task",
    "id": "task-1",
    "meta": {"versionId": "4"},
    "status": "in-progress",
    "intent": "order",
    "identifier": [{"system": "urn:neuronova:ai-result", "value": KEY}],
    "code": {"coding": [{"system": "urn:neuronova:task", "code": "ai-inference"}]},
    "focus": {"reference": "ImagingStudy/study-1"},
    "for": {"reference": "Patient/somebody-else"},
    "executionPeriod": {"start": "2026-01-05T09:59:00.000Z"},
}


def made(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"dtype": "float32", "now": NOW} | changes
    seg = arguments.pop("seg", SEG)
    return transaction(TASK, STUDY, FINDINGS, bundle, KEY, seg, **arguments)


def of_type(bundle: dict[str, Any], type_: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == type_]


def test_every_resource_is_valid_fhir(demo_bundle: Bundle) -> None:
    signed = {"resourceType": "DiagnosticReport", "id": "r0", "meta": {"versionId": "1"}, "status": "final"}
    for entry in made(demo_bundle, earlier=[Earlier(signed)])["entry"]:
        resource = entry["resource"]
        get_fhir_model_class(resource["resourceType"]).model_validate(deepcopy(resource))


def test_the_report_is_a_draft_of_the_study_and_names_its_results(demo_bundle: Bundle) -> None:
    bundle = made(demo_bundle)
    (report,) = of_type(bundle, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert report["identifier"] == [{"system": "urn:neuronova:ai-result", "value": KEY}]
    assert report["imagingStudy"] == [{"reference": "ImagingStudy/study-1"}]
    assert report["basedOn"] == [{"reference": "ServiceRequest/order-1"}]
    urls = {e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Observation"}
    assert {r["reference"] for r in report["result"]} == urls
    assert "issued" not in report
    assert "performer" not in report


def test_the_subject_is_the_studys_even_if_the_task_names_another(demo_bundle: Bundle) -> None:
    bundle = made(demo_bundle)
    for resource in (*of_type(bundle, "DiagnosticReport"), *of_type(bundle, "Observation")):
        assert resource["subject"] == {"reference": "Patient/p1"}


def test_observations_carry_volume_method_site_confidence_and_device(demo_bundle: Bundle) -> None:
    bundle = made(demo_bundle)
    first, *_ = of_type(bundle, "Observation")
    assert first["valueQuantity"] == {
        "value": 7.232,
        "unit": "mL",
        "system": "http://unitsofmeasure.org",
        "code": "mL",
    }
    assert first["component"][0]["valueQuantity"]["value"] == 0.979
    assert first["bodySite"]["coding"][0]["code"] == "12738006"
    assert first["method"]["coding"][0]["code"] == "123110"
    assert first["category"][0]["coding"][0]["code"] == "imaging"
    assert first["derivedFrom"] == [{"reference": "ImagingStudy/study-1"}]
    device = next(e for e in bundle["entry"] if e["resource"]["resourceType"] == "Device")
    assert first["device"] == {"reference": device["fullUrl"]}
    assert len({o["identifier"][0]["value"] for o in of_type(bundle, "Observation")}) == 3


def test_device_and_report_say_not_for_clinical_use(demo_bundle: Bundle) -> None:
    bundle = made(demo_bundle)
    (device,), (report,) = of_type(bundle, "Device"), of_type(bundle, "DiagnosticReport")
    assert device["safety"] == [{"text": "Not for clinical use"}]
    assert report["conclusion"].startswith("Not for clinical use")
    assert demo_bundle.weights_sha256 in [v["value"] for v in device["version"]]


def test_the_task_awaits_its_review_and_keeps_what_it_had(demo_bundle: Bundle) -> None:
    (task,) = of_type(made(demo_bundle), "Task")
    assert task["status"] == "completed"
    assert task["businessStatus"]["coding"][0] == {
        "system": "urn:neuronova:review",
        "code": "awaiting-review",
    }
    assert task["for"] == TASK["for"]
    assert task["executionPeriod"] == {"start": "2026-01-05T09:59:00.000Z", "end": "2026-01-05T10:00:00.000Z"}
    values = {o["type"]["coding"][0]["code"]: o for o in task["output"]}
    assert values["segmentation"]["valueIdentifier"]["value"] == "urn:oid:2.25.2"
    assert values["arithmetic"]["valueString"] == "float32"


def test_without_a_segmentation_the_task_names_none(demo_bundle: Bundle) -> None:
    (task,) = of_type(made(demo_bundle, seg=None), "Task")
    assert [o["type"]["coding"][0]["code"] for o in task["output"]] == ["report", "arithmetic"]


def test_creates_are_conditional_and_updates_compare_versions(demo_bundle: Bundle) -> None:
    for entry in made(demo_bundle)["entry"]:
        request = entry["request"]
        if entry["resource"]["resourceType"] == "Provenance":
            continue
        if request["method"] == "POST":
            assert request["ifNoneExist"].startswith("identifier=urn%3Aneuronova%3Aai-")
            assert "#" not in request["ifNoneExist"]
        else:
            assert request["ifMatch"] == 'W/"4"'


def test_a_task_without_a_version_is_refused(demo_bundle: Bundle) -> None:
    task = {k: v for k, v in TASK.items() if k != "meta"}
    with pytest.raises(StaleTaskError):
        transaction(task, STUDY, FINDINGS, demo_bundle, KEY, SEG)


def test_provenance_names_algorithm_and_version_of_the_study(demo_bundle: Bundle) -> None:
    (provenance,) = of_type(made(demo_bundle), "Provenance")
    assert provenance["entity"][0]["what"] == {"reference": "ImagingStudy/study-1/_history/3"}
    assert provenance["recorded"] == "2026-01-05T10:00:00.000Z"
    assert len(provenance["target"]) == 4


def earlier(status: str) -> Earlier:
    report = {"resourceType": "DiagnosticReport", "id": "old", "meta": {"versionId": "1"}, "status": status}
    observation = {"resourceType": "Observation", "id": "o1", "meta": {"versionId": "1"}, "status": status}
    task = {"resourceType": "Task", "id": "t0", "meta": {"versionId": "9"}, "status": "completed"}
    return Earlier(report, [observation], task)


def test_an_unsigned_draft_is_cancelled_with_its_observations(demo_bundle: Bundle) -> None:
    entries = made(demo_bundle, earlier=[earlier("preliminary")])["entry"]
    changed = {e["request"]["url"]: e["resource"] for e in entries if e["request"]["method"] == "PUT"}
    assert changed["DiagnosticReport/old"]["status"] == "cancelled"
    assert changed["Observation/o1"]["status"] == "cancelled"
    assert changed["Task/t0"]["businessStatus"]["coding"][0]["code"] == "rejected"


@pytest.mark.parametrize("status", ["final", "amended", "corrected", "appended"])
def test_a_signed_report_is_not_touched_and_an_amendment_is_asked_for(
    demo_bundle: Bundle, status: str
) -> None:
    bundle = made(demo_bundle, earlier=[earlier(status)])
    urls = {e["request"]["url"] for e in bundle["entry"] if e["request"]["method"] == "PUT"}
    assert urls == {"Task/task-1"}
    request = next(
        t for t in of_type(bundle, "Task") if t["code"]["coding"][0]["code"] == "amendment-request"
    )
    assert request["focus"] == {"reference": "DiagnosticReport/old"}


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_what_is_withdrawn_already_is_left_alone(demo_bundle: Bundle, status: str) -> None:
    assert len(made(demo_bundle, earlier=[earlier(status)])["entry"]) == len(made(demo_bundle)["entry"])


def test_another_network_is_another_device(demo_bundle: Bundle) -> None:
    other = replace(demo_bundle, weights_sha256="0" * 64)
    assert (
        of_type(made(demo_bundle), "Device")[0]["identifier"]
        != of_type(made(other), "Device")[0]["identifier"]
    )
