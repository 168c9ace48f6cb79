"""`python -m demo`: start the product, run the main job through the public door, leave it running."""

from __future__ import annotations

import dataclasses
import sys
import time

from rich.console import Console
from rich.table import Table

from demo import main_job, people, readback, roads, viewer
from demo.phantom import FIRST, SECOND, render_ahead
from demo.run import Run, Step, run_steps
from deploy import operate
from deploy.errors import DeployError
from deploy.settings import ROOT, from_process

STEPS = (
    Step("operator", "register the demo's app", people.register_app, "facade.log"),
    Step("operator, admin", "first administrator", people.first_administrator, "facade.log"),
    Step("admin", "hospital and modality", people.hospital, "facade.log"),
    Step("admin", "staff", people.staff, "facade.log"),
    Step("admin", "patients", people.patients, "facade.log"),
    Step("doctor", "order an MR of the brain", main_job.order, "facade.log"),
    Step("doctor", "open the WebSocket", main_job.listen, "facade.log"),
    Step("doctor", "upload 4 x 155 slices (STOW-RS)", main_job.upload, "pixels.log"),
    Step("product", "HTJ2K, study available", main_job.available, "worker-imaging.log"),
    Step("product", "AI, preliminary report", main_job.report, "worker-inference.log"),
    Step("doctor", "told over the WebSocket", main_job.told, "worker-notify.log"),
    Step("doctor", "upload a second patient's study", main_job.upload_second, "pixels.log"),
    Step("modality", "real files by C-STORE", roads.send, "orthanc.log"),
    Step("doctor", "open the study in the viewer", viewer.open_study, "facade.log"),
    Step("doctor", "approve the result", main_job.approve, "facade.log"),
    Step("rib", "sign the report", main_job.sign, "facade.log"),
    Step("doctor", "HTJ2K frames against the source", readback.frame, "facade.log"),
    Step("doctor", "segmentation against the truth", readback.segmentation, "worker-inference.log"),
    Step("product", "OpenEMR's rows", readback.openemr, "worker-openemr.log"),
    Step("doctor", "reject the second patient's result", main_job.reject_second, "worker-inference.log"),
    Step("product", "real files available, no AI", roads.real_files, "ingest.log"),
    Step("product", "unknown patient: quarantine", roads.unknown_patient, "ingest.log"),
    Step("admin", "trail of the patient, verified", readback.trail, "audit-shipper.log"),
)


def main() -> int:
    """0 only if every step held."""
    console = Console(width=140 if not sys.stdout.isatty() else None)
    # Nobody is there to hold an authenticator; an installation of its own requires one.
    settings = dataclasses.replace(from_process(None), totp_required=False)
    began = time.monotonic()
    # The servers take half a minute to start, most of it waiting for one of them.
    for seed, size in ((FIRST, "native"), (SECOND, "small")):
        render_ahead(seed, size)
    try:
        operate.up(settings)
    except DeployError as error:
        console.print("\n".join(error.lines()), style="red", markup=False)
        return 1
    console.print(f"everything is ready after {time.monotonic() - began:.1f} s")
    run = Run.load(settings.base_url, settings.var, ROOT)
    run.live["dicom_port"] = settings.dicom_port
    held = run_steps(run, STEPS, console)
    _farewell(run, console, time.monotonic() - began)
    return 0 if held else 1


def _farewell(run: Run, console: Console, seconds: float) -> None:
    """Measured times, addresses and logins."""
    for name, value in run.seconds.items():
        console.print(f"  {name}: {value:.1f} s")
    console.print(f"  all of it: {seconds:.1f} s\n")
    study = run.facts.get("study_uid", "")
    for what, path in (
        ("start page", "/"),
        ("viewer", f"/pacs-viewer/viewer?StudyInstanceUIDs={study}"),
        ("FHIR", "/fhir/metadata"),
        ("SMART configuration", "/fhir/.well-known/smart-configuration"),
        ("health", "/health/ready"),
    ):
        console.print(f"  {what:20s} {run.base_url}{path}", soft_wrap=True, markup=False)
    table = Table(title=f"Logins (also in {run.path}, readable by you only)", title_justify="left")
    for heading in ("role", "username", "password"):
        table.add_column(heading)
    for role, person in run.facts["people"].items():
        table.add_row(role, person["username"], person["password"])
    console.print(table)
    console.print(
        "The result of the AI is a demonstration: not for clinical use. `make down` stops everything."
    )


if __name__ == "__main__":
    sys.exit(main())
