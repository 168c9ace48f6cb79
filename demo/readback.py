"""Steps that read the result back from every place where it has to be."""

from __future__ import annotations

import time
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import sqlalchemy as sa

from demo.people import neuronova
from demo.phantom import dice_of_segmentation
from demo.run import Run, require, wait_for

HTJ2K = "1.2.840.10008.1.2.4.202"
OPENEMR_S, TRAIL_S = 15.0, 90.0


def frame(run: Run) -> str:
    """One HTJ2K frame of each series by the viewer's own route and cookie, decoded and compared."""
    browser = run.as_("doctor").browser
    checked, seconds = 0, []
    for series in run.live["study"].series.values():
        source = pydicom.dcmread(series[len(series) // 2])
        path = (
            f"/dicom-web/studies/{source.StudyInstanceUID}/series/{source.SeriesInstanceUID}"
            f"/instances/{source.SOPInstanceUID}/frames/1"
        )
        began = time.monotonic()
        answer = browser.get(run.base_url + path, headers={"Accept": "image/jphc"})
        seconds.append(time.monotonic() - began)
        require(answer.status_code == 200, f"{path} answered {answer.status_code}")
        require(HTJ2K in answer.headers["content-type"], f"content type {answer.headers['content-type']}")
        decoded = imagecodecs.htj2k_decode(answer.content)
        require(np.array_equal(decoded, source.pixel_array), f"{path}: other pixels than were sent")
        checked += 1
    return f"{checked} frames, every pixel equal, {1000 * sorted(seconds)[len(seconds) // 2]:.0f} ms each"


def segmentation(run: Run) -> str:
    """The DICOM SEG, retrieved whole, against the phantom's truth."""
    task = run.as_("doctor").read(run.facts["task"])
    uids = [item["valueIdentifier"]["value"] for item in task["output"] if "valueIdentifier" in item]
    study_uid = run.facts["study_uid"]
    answer = run.as_("doctor").request(
        "GET", f"/dicom-web/studies/{study_uid}/series", headers={"Accept": "application/dicom+json"}
    )
    answer.raise_for_status()
    found = [item["0020000E"]["Value"][0] for item in answer.json() if item["00080060"]["Value"] == ["SEG"]]
    require(len(found) == 1, f"{len(found)} SEG series (Task names {uids})")
    scores = dice_of_segmentation(run, study_uid, found[0])
    require(min(scores.values()) > 0.5, f"Dice {scores}")
    return "Dice " + ", ".join(f"{name} {score:.3f}" for name, score in scores.items())


def _environment(run: Run, program: str) -> dict[str, str]:
    lines = (run.var / "etc" / "env" / f"{program}.env").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value.strip("'\"") for name, _, value in pairs}


def _openemr_rows(run: Run) -> dict[str, Any] | None:
    """The order, report and result rows of the accession, once the report is there."""
    engine = sa.create_engine(_environment(run, "worker-openemr")["OPENEMR_DATABASE_URL"])
    try:
        with engine.connect() as connection:
            order = connection.execute(
                sa.text(
                    "select o.procedure_order_id id, o.order_status, p.lname, o.control_id "
                    "from procedure_order o join patient_data p on p.pid = o.patient_id "
                    "where o.control_id = :accession"
                ),
                {"accession": run.facts["accession"]},
            ).mappings()
            orders = [dict(row) for row in order]
            if not orders:
                return None
            reports = connection.execute(
                sa.text(
                    "select procedure_report_id id, report_status from procedure_report "
                    "where procedure_order_id = :order"
                ),
                {"order": orders[0]["id"]},
            ).mappings()
            found = [dict(row) for row in reports]
            if not found:
                return None
            results = connection.execute(
                sa.text("select count(*) from procedure_result where procedure_report_id = :report"),
                {"report": found[0]["id"]},
            ).scalar_one()
    finally:
        engine.dispose()
    if orders[0]["order_status"] != "complete":
        return None
    return {"orders": orders, "reports": found, "results": int(results)}


def openemr(run: Run) -> str:
    """OpenEMR's tables: one completed order, one final report, its results."""
    rows = wait_for("OpenEMR has the signed report", lambda: _openemr_rows(run), OPENEMR_S)
    run.seconds["signature -> seen in OpenEMR"] = time.monotonic() - run.live["signed_at"]
    require(len(rows["orders"]) == 1 and len(rows["reports"]) == 1, f"not exactly one: {rows}")
    require(rows["reports"][0]["report_status"] == "final", f"report_status {rows['reports'][0]}")
    require(rows["results"] > 0, "no result rows")
    order = rows["orders"][0]
    return f"procedure_order {order['id']} {order['order_status']}, report final, {rows['results']} results"


def trail(run: Run) -> str:
    """The patient's trail, as the administrator reads it, and the proof that nobody changed it."""
    expected = (run.facts["study"], run.facts["report"], run.facts["order"])

    def seen() -> list[dict[str, Any]] | None:
        found = run.as_("admin").read(f"AuditEvent?patient={run.facts['patient']}&_count=200")
        events = [entry["resource"] for entry in found.get("entry", [])]
        text = {e.get("what", {}).get("reference", "") for event in events for e in event.get("entity", [])}
        return events if all(any(name in one for one in text) for name in expected) else None

    events = wait_for("the trail names study, report and order", seen, TRAIL_S, every_s=1)
    verdict = neuronova(run, "audit", "verify").strip().splitlines()[-1]
    return f"{len(events)} AuditEvents of the patient; {verdict}"
