"""The transaction against a real HAPI: once or twice, one result stands."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facade.errors import HAPIConflictError
from facade.hapi import HAPIClient
from inference.bundle import Bundle
from inference.report import Earlier, transaction
from tests.inference.test_report import FINDINGS, SEG, STUDY, TASK
from tests.servers.stack import Stack

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
async def store(hapi: Stack) -> AsyncIterator[HAPIClient]:
    """HAPI with the workers' rights."""
    async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-workers"]) as client:
        yield client


@pytest.fixture
async def admin(hapi: Stack) -> AsyncIterator[HAPIClient]:
    """HAPI with the facade's rights, for the patient and the order."""
    async with HAPIClient(hapi.hapi_url, hapi.secrets["hapi-facade"]) as client:
        yield client


async def begun(store: HAPIClient, admin: HAPIClient, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Task in progress on a study of a new patient, of a kind that no running worker takes up."""
    patient = await admin.create({"resourceType": "Patient", "birthDate": "1970-01-01"})
    subject = {"reference": f"Patient/{patient['id']}"}
    order = await admin.create(
        {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": subject}
    )
    study = await store.create(
        {
            "resourceType": "ImagingStudy",
            "status": "available",
            "subject": subject,
            "started": STUDY["started"],
            "basedOn": [{"reference": f"ServiceRequest/{order['id']}"}],
        }
    )
    task = await store.create(
        {
            **{k: v for k, v in TASK.items() if k not in ("id", "meta", "code")},
            "identifier": [{"system": "urn:neuronova:ai-result", "value": key}],
            "for": subject,
            "focus": {"reference": f"ImagingStudy/{study['id']}"},
        }
    )
    return task, study


async def found(store: HAPIClient, type_: str, key: str) -> list[dict[str, Any]]:
    return [r async for r in store.search_all(type_, [("identifier", f"urn:neuronova:ai-result|{key}")])]


async def test_one_transaction_writes_everything_with_references_that_resolve(
    store: HAPIClient, admin: HAPIClient, demo_bundle: Bundle
) -> None:
    key = uuid.uuid4().hex * 2
    task, study = await begun(store, admin, key)
    await store.transaction(transaction(task, study, FINDINGS, demo_bundle, key, SEG))
    (report,) = await found(store, "DiagnosticReport", key)
    stored = await store.read("Task", task["id"])
    assert stored["output"][0]["valueReference"]["reference"].startswith(f"DiagnosticReport/{report['id']}")
    assert len(report["result"]) == 3
    for result, finding in zip(report["result"], FINDINGS, strict=True):
        observation = await store.read("Observation", result["reference"].split("/")[1])
        assert float(observation["valueQuantity"]["value"]) == finding.volume_ml
        device = await store.read("Device", observation["device"]["reference"].split("/")[1])
        assert demo_bundle.weights_sha256 in [v["value"] for v in device["version"]]
    targets = [
        r async for r in store.search_all("Provenance", [("target", f"DiagnosticReport/{report['id']}")])
    ]
    assert len(targets) == 1


async def test_a_repeated_transaction_is_refused_as_a_whole(
    store: HAPIClient, admin: HAPIClient, demo_bundle: Bundle
) -> None:
    key = uuid.uuid4().hex * 2
    task, study = await begun(store, admin, key)
    bundle = transaction(task, study, FINDINGS, demo_bundle, key, SEG)
    await store.transaction(bundle)
    with pytest.raises(HAPIConflictError):
        await store.transaction(bundle)
    assert len(await found(store, "DiagnosticReport", key)) == 1


async def test_a_run_that_starts_again_finds_what_is_there(
    store: HAPIClient, admin: HAPIClient, demo_bundle: Bundle
) -> None:
    key = uuid.uuid4().hex * 2
    task, study = await begun(store, admin, key)
    await store.transaction(transaction(task, study, FINDINGS, demo_bundle, key, SEG))
    again = await store.read("Task", task["id"])
    await store.transaction(transaction(again, study, FINDINGS, demo_bundle, key, SEG))
    assert len(await found(store, "DiagnosticReport", key)) == 1
    assert len(await found(store, "Observation", f"{key}#tumour-core-volume")) == 1


async def test_two_workers_at_once_leave_one_result(
    store: HAPIClient, admin: HAPIClient, demo_bundle: Bundle
) -> None:
    key = uuid.uuid4().hex * 2
    task, study = await begun(store, admin, key)
    bundle = transaction(task, study, FINDINGS, demo_bundle, key, SEG)
    answers = await asyncio.gather(*(store.transaction(bundle) for _ in range(4)), return_exceptions=True)
    assert sum(not isinstance(a, BaseException) for a in answers) == 1
    assert len(await found(store, "DiagnosticReport", key)) == 1


async def test_a_new_result_cancels_the_draft_before_it(
    store: HAPIClient, admin: HAPIClient, demo_bundle: Bundle
) -> None:
    old, new = uuid.uuid4().hex * 2, uuid.uuid4().hex * 2
    task, study = await begun(store, admin, old)
    await store.transaction(transaction(task, study, FINDINGS, demo_bundle, old, SEG))
    (draft,) = await found(store, "DiagnosticReport", old)
    parts = [await store.read("Observation", r["reference"].split("/")[1]) for r in draft["result"]]
    before = Earlier(draft, parts, await store.read("Task", task["id"]))
    second = await store.create(
        {k: v for k, v in task.items() if k not in ("id", "meta", "code")}
        | {"identifier": [{"system": "urn:neuronova:ai-result", "value": new}]}
    )
    await store.transaction(transaction(second, study, FINDINGS, demo_bundle, new, SEG, earlier=[before]))
    assert (await found(store, "DiagnosticReport", old))[0]["status"] == "cancelled"
    assert (await found(store, "DiagnosticReport", new))[0]["status"] == "preliminary"
    assert (await store.read("Observation", parts[0]["id"]))["status"] == "cancelled"
