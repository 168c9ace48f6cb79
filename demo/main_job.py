"""Steps of the main job: order, upload, what the product does by itself, review, signature."""

from __future__ import annotations

import time
from typing import Any

from demo import records, stow
from demo.news import News
from demo.phantom import FIRST, SECOND, make_study
from demo.run import Run, StepFailedError, require, wait_for

STUDY_AVAILABLE_S, REPORT_S = 120.0, 240.0
"""How long the demo waits before it calls a step failed; the budgets (10 s and 30 s) are `make bench`'s."""


def _order(run: Run, patient: str, accession: str) -> dict[str, Any]:
    requester = run.facts["people"]["doctor"]["fhirUser"]
    order: dict[str, Any] = run.as_("doctor").create(records.brain_mr_order(patient, requester, accession))
    return order


def order(run: Run) -> str:
    """The doctor orders an MR of the brain."""
    accession = f"DEMO{run.facts['serial']:03d}A"
    order = _order(run, run.facts["patient"], accession)
    run.facts |= {"order": f"ServiceRequest/{order['id']}", "accession": accession}
    return f"{run.facts['order']} active, accession {accession}"


def listen(run: Run) -> str:
    """The doctor opens the WebSocket."""
    run.live["news"] = News(run.as_("doctor"))
    return "connected with a one-time ticket"


def upload(run: Run) -> str:
    """The doctor uploads the study: four series of uncompressed DICOM by STOW-RS."""
    patient = run.as_("admin").read(run.facts["patient"])
    study = make_study(run, patient, run.facts["accession"], seed=FIRST, size=run.size)
    run.live["study"] = study
    run.facts["study_uid"] = study.study_uid
    began = time.monotonic()
    for series in study.series.values():
        answer = stow.store(run.as_("doctor"), series)
        require(answer.status_code == 200, f"STOW answered {answer.status_code}: {answer.text[:200]}")
    run.live["uploaded_at"] = time.monotonic()
    seconds = run.live["uploaded_at"] - began
    size = sum(file.stat().st_size for file in study.files)
    return f"{len(study.files)} instances, {size / 1e6:.0f} MB, {size / 1e6 / seconds:.0f} MB/s"


def find_study(run: Run, study_uid: str, status: str | None) -> dict[str, Any] | None:
    """The ImagingStudy of a Study UID, as the doctor finds it; None while there is none (of that status)."""
    query = f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{study_uid}"
    found = run.as_("doctor").read(query if status is None else f"{query}&status={status}").get("entry", [])
    require(len(found) <= 1, f"{len(found)} ImagingStudies of one study")
    return found[0]["resource"] if found else None


def available(run: Run) -> str:
    """The product turns every instance into HTJ2K and marks the study available."""
    uid = run.facts["study_uid"]
    study = wait_for("study available", lambda: find_study(run, uid, "available"), STUDY_AVAILABLE_S)
    run.seconds["last byte -> available"] = time.monotonic() - run.live["uploaded_at"]
    run.facts["study"] = f"ImagingStudy/{study['id']}"
    require(study["subject"]["reference"] == run.facts["patient"], "the study has another subject")
    require(study["basedOn"][0]["reference"] == run.facts["order"], "the study is not based on the order")
    counts = f"{study['numberOfSeries']} series, {study['numberOfInstances']} instances"
    return (
        f"{run.facts['study']}, {counts}, {run.seconds['last byte -> available']:.1f} s after the last byte"
    )


def find_task(run: Run, study: str, *statuses: str) -> dict[str, Any] | None:
    """The ai-inference Task of a study once it has one of the statuses."""
    found = (
        run.as_("doctor").read(f"Task?focus={study}&code=urn:neuronova:task|ai-inference").get("entry", [])
    )
    require(len(found) <= 1, f"{len(found)} Tasks of one study and one bundle")
    task: dict[str, Any] | None = found[0]["resource"] if found else None
    if task and task["status"] in {"rejected", "failed"} - set(statuses):
        raise StepFailedError(
            f"Task/{task['id']} {task['status']}: {task.get('statusReason', {}).get('text')}"
        )
    return task if task and task["status"] in statuses else None


def output(task: dict[str, Any], type_: str) -> str:
    """The reference of this type in a Task's output."""
    for item in task.get("output", []):
        reference = item.get("valueReference", {}).get("reference", "")
        if reference.startswith(f"{type_}/"):
            return "/".join(reference.split("/")[:2])
    raise StepFailedError(f"the Task has no {type_} in its output")


def report(run: Run) -> str:
    """The product runs the bundle and posts a preliminary report."""
    task = wait_for("AI finished", lambda: find_task(run, run.facts["study"], "completed"), REPORT_S)
    run.seconds["last byte -> preliminary report"] = time.monotonic() - run.live["uploaded_at"]
    run.facts |= {"task": f"Task/{task['id']}", "report": output(task, "DiagnosticReport")}
    draft = run.as_("doctor").read(run.facts["report"])
    require(draft["status"] == "preliminary", f"the report is {draft['status']}")
    require(draft["subject"]["reference"] == run.facts["patient"], "the report has another subject")
    values = []
    for result in draft["result"]:
        observation = run.as_("doctor").read(result["reference"])
        if "valueQuantity" in observation:
            quantity = observation["valueQuantity"]
            label = observation["code"].get("text") or observation["code"]["coding"][0]["display"]
            values.append(f"{label} {quantity['value']} {quantity['unit']}")
    seconds = run.seconds["last byte -> preliminary report"]
    return f"{run.facts['report']} preliminary after {seconds:.1f} s: {'; '.join(values)}"


def told(run: Run) -> str:
    """The doctor's WebSocket has the news."""
    news: News = run.live["news"]
    type_, _, id_ = run.facts["report"].partition("/")
    message = wait_for("the doctor is told", lambda: news.about(type_, id_), 15)
    require(
        set(message) <= {"type", "id", "version"}, f"the message carries more than a reference: {message}"
    )
    return f"{message['type']}/{message['id']} version {message['version']}, of {len(news.messages)} messages"


def _review(run: Run, task_reference: str, decision: str, reason: str) -> dict[str, Any]:
    doctor = run.as_("doctor")
    task = doctor.read(task_reference)
    draft = doctor.read(output(task, "DiagnosticReport"))
    shown = f"DiagnosticReport/{draft['id']}/_history/{draft['meta']['versionId']}"
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "decision", "valueCode": decision},
            {"name": "reason", "valueString": reason},
            {"name": "report", "valueReference": {"reference": shown}},
        ],
    }
    answer = doctor.fhir(
        "POST",
        f"{task_reference}/$review",
        json=parameters,
        headers={"If-Match": f'W/"{task["meta"]["versionId"]}"'},
    )
    require(answer.status_code == 200, f"$review answered {answer.status_code}: {answer.text[:300]}")
    reviewed: dict[str, Any] = doctor.read(task_reference)
    return reviewed


def approve(run: Run) -> str:
    """The doctor approves the result that was shown."""
    task = _review(run, run.facts["task"], "approve", "seen in the viewer")
    status = task["businessStatus"]["coding"][0]["code"]
    require(status == "approved", f"businessStatus is {status}")
    return f"{run.facts['task']} {status}"


def sign(run: Run) -> str:
    """The radiologist signs; report, Observations, Task and order change in one transaction."""
    radiologist = run.sign_in_again("rib")
    draft = radiologist.read(run.facts["report"])
    answer = radiologist.fhir(
        "POST",
        f"{run.facts['report']}/$sign",
        json={"resourceType": "Parameters"},
        headers={"If-Match": f'W/"{draft["meta"]["versionId"]}"'},
    )
    require(answer.status_code == 200, f"$sign answered {answer.status_code}: {answer.text[:300]}")
    run.live["signed_at"] = time.monotonic()
    final = radiologist.read(run.facts["report"])
    require(final["status"] == "final", f"the report is {final['status']}")
    order = radiologist.read(run.facts["order"])
    require(order["status"] == "completed", f"the order is {order['status']}")
    trail = radiologist.read(f"Provenance?target={run.facts['report']}").get("entry", [])
    signed = [entry for entry in trail if entry["resource"].get("signature")]
    require(len(signed) == 1, f"{len(signed)} signatures on the report")
    return f"{run.facts['report']} final, {run.facts['order']} completed, signature in Provenance"


def upload_second(run: Run) -> str:
    """A second patient's study goes in; the product works on it while the first one is looked at."""
    accession = f"DEMO{run.facts['serial']:03d}B"
    _order(run, run.facts["second"], accession)
    patient = run.as_("admin").read(run.facts["second"])
    study = make_study(run, patient, accession, seed=SECOND, size="small")
    answer = stow.store(run.as_("doctor"), study.files)
    require(answer.status_code == 200, f"STOW answered {answer.status_code}: {answer.text[:200]}")
    run.live["second study"] = study.study_uid
    return f"{len(study.files)} instances, accession {accession}"


def reject_second(run: Run) -> str:
    """The second patient's result is rejected: report cancelled, nothing to sign, SEG served to nobody."""
    uid = run.live["second study"]
    resource = wait_for(
        "second study available", lambda: find_study(run, uid, "available"), STUDY_AVAILABLE_S
    )
    reference = f"ImagingStudy/{resource['id']}"
    task = wait_for("AI finished", lambda: find_task(run, reference, "completed"), REPORT_S)
    task = _review(run, f"Task/{task['id']}", "reject", "demo of a rejection")
    draft = run.as_("doctor").read(output(task, "DiagnosticReport"))
    require(draft["status"] == "cancelled", f"the rejected report is {draft['status']}")
    refused = run.as_("rib").fhir(
        "POST",
        f"DiagnosticReport/{draft['id']}/$sign",
        json={"resourceType": "Parameters"},
        headers={"If-Match": f'W/"{draft["meta"]["versionId"]}"'},
    )
    require(refused.status_code in (409, 412, 422), f"$sign of it answered {refused.status_code}")
    return f"DiagnosticReport/{draft['id']} cancelled; $sign refused ({refused.status_code})"
