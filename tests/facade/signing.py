"""An AI result as the pipeline leaves it, and the steps of people on it: review, signature, amendment."""

from typing import Any
from uuid import uuid4

from facade import names
from facade.hapi import HAPIClient
from tests.facade.world import World, observation, order


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


async def draft(
    world: World, workers: HAPIClient, people: dict[str, str], study: dict[str, Any] | None = None
) -> dict[str, str]:
    """What the pipeline leaves for review: order, study if none is given, Observations, report, Task."""
    made = await world.ask("doctor", "POST", "ServiceRequest", json=order(people["own"], people["doctor"]))
    ordered = f"ServiceRequest/{made.json()['id']}"
    subject = {"reference": people["own"]}
    study = study or await workers.create(
        {
            "resourceType": "ImagingStudy",
            "status": "available",
            "subject": subject,
            "identifier": [{"system": names.DICOM_UID, "value": f"urn:oid:2.25.{uuid4().int}"}],
            "basedOn": [{"reference": ordered}],
        }
    )
    key = uuid4().hex
    results = [
        await workers.create(
            observation(
                people["own"],
                "imaging",
                "preliminary",
                identifier=[{"system": names.AI_RESULT, "value": f"{key}#{name}"}],
                valueQuantity={"value": volume, "unit": "mL"},
            )
        )
        for name, volume in (("core", 12.5), ("oedema", 3.0))
    ]
    report = await workers.create(
        {
            "resourceType": "DiagnosticReport",
            "identifier": [{"system": names.AI_RESULT, "value": key}],
            "status": "preliminary",
            "code": {"text": "MR brain"},
            "subject": subject,
            "basedOn": [{"reference": ordered}],
            "imagingStudy": [{"reference": f"ImagingStudy/{study['id']}"}],
            "result": [{"reference": f"Observation/{result['id']}"} for result in results],
        }
    )
    task = await workers.create(
        {
            "resourceType": "Task",
            "identifier": [{"system": names.AI_RESULT, "value": key}],
            "status": "completed",
            "intent": "order",
            "code": concept(names.TASK, "ai-inference"),
            "businessStatus": concept(names.REVIEW, "awaiting-review"),
            "focus": {"reference": f"ImagingStudy/{study['id']}"},
            "for": subject,
            "output": [
                {
                    "type": concept(names.TASK_OUTPUT, "report"),
                    "valueReference": {"reference": f"DiagnosticReport/{report['id']}"},
                },
                {
                    "type": concept(names.TASK_OUTPUT, "segmentation"),
                    "valueIdentifier": {"system": names.DICOM_UID, "value": "urn:oid:2.25.42"},
                },
            ],
        }
    )
    return {
        "order": ordered,
        "report": f"DiagnosticReport/{report['id']}",
        "task": f"Task/{task['id']}",
        "observation": f"Observation/{results[0]['id']}",
    }


async def review(
    world: World, case: dict[str, str], decision: str = "approve", who: str = "doctor", **changed: str
) -> Any:
    """$review with what the doctor reads first."""
    task = await world.ask("doctor", "GET", case["task"])
    report = await world.ask("doctor", "GET", case["report"])
    shown = f"{case['report']}/_history/{report.json()['meta']['versionId']}"
    given = {
        "decision": decision,
        "reason": "seen",
        "shown": shown,
        "version": task.headers["etag"],
    } | changed
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "decision", "valueCode": given["decision"]},
            {"name": "reason", "valueString": given["reason"]},
            {"name": "report", "valueReference": {"reference": given["shown"]}},
        ],
    }
    return await world.ask(
        who, "POST", f"{case['task']}/$review", json=parameters, headers={"If-Match": given["version"]}
    )


async def sign(world: World, case: dict[str, str], who: str = "rib", version: str | None = None) -> Any:
    """$sign with the version that the radiologist reads first."""
    report = await world.ask("rib", "GET", case["report"])
    return await world.ask(
        who,
        "POST",
        f"{case['report']}/$sign",
        json={"resourceType": "Parameters"},
        headers={"If-Match": version or report.headers["etag"]},
    )


async def signed(world: World, workers: HAPIClient, people: dict[str, str]) -> dict[str, str]:
    """A result that was approved and signed."""
    case = await draft(world, workers, people)
    assert (await review(world, case)).status_code == 200
    assert (await sign(world, case)).status_code == 200
    return case


async def amend(
    world: World,
    case: dict[str, str],
    status: str,
    *resources: dict[str, Any],
    reason: str | None = "seen again",
    who: str = "rib",
    version: str | None = None,
) -> Any:
    """$sign of a signed report, with the version that the radiologist reads first."""
    parameters: list[dict[str, Any]] = [{"name": "status", "valueCode": status}]
    if reason is not None:
        parameters.append({"name": "reason", "valueString": reason})
    for resource in resources:
        name = "report" if resource["resourceType"] == "DiagnosticReport" else "observation"
        parameters.append({"name": name, "resource": resource})
    report = await world.ask("rib", "GET", case["report"])
    return await world.ask(
        who,
        "POST",
        f"{case['report']}/$sign",
        json={"resourceType": "Parameters", "parameter": parameters},
        headers={"If-Match": version or report.headers["etag"]},
    )
