"""An HTJ2K frame through the facade, beside nginx -> Orthanc with nothing in between.

The frames of one viewing are one audit record, so nothing has to be kept from the trail here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pydicom

from bench.direct import direct
from bench.installation import Installation
from bench.load import Target, interleaved, load
from bench.rows import Row, at_most_more, at_most_times
from demo import main_job, stow
from demo.run import StepFailedError, require, wait_for
from imaging.index import Index
from inference.training.phantom import scanned
from inference.training.study import write_study

ROUNDS, SECONDS = 3, 2
SHAPE, SEED = (6, 512, 512), 900_003
ONE_MS, EIGHT_TIMES = 0.8, 1.8


def rows(product: Installation) -> Iterator[Row]:
    """One frame again and again, at 1 and at 8 connections."""
    path, orthanc_path, size = uploaded_frame(product)
    token = product.run.sign_in_again("doctor").token["access_token"]
    with direct(product) as direct_url:
        targets = {
            "direct": Target(f"{direct_url}{orthanc_path}", accept="*/*"),
            "facade": Target(f"{product.settings.base_url}{path}", token, accept="image/jphc"),
        }
        for target in targets.values():
            load(target, 8, SECONDS)
        one = interleaved(targets, 1, SECONDS, ROUNDS)
        eight = interleaved(targets, 8, SECONDS, ROUNDS)
    name = f"frame of {size / 1000:.0f} kB HTJ2K"
    found, reference = one["facade"].p50_ms, one["direct"].p50_ms
    yield at_most_more(f"{name}, 1 connection: p50", found, "ms", reference, ONE_MS)
    found, reference = eight["facade"].p50_ms, eight["direct"].p50_ms
    yield at_most_times(f"{name}, 8 connections: p50", found, "ms", reference, EIGHT_TIMES)


def uploaded_frame(product: Installation) -> tuple[str, str, int]:
    """Upload a series of the second patient; where its middle frame is, in the product and in Orthanc."""
    run = product.run
    patient = run.as_("admin").read(run.facts["second"])
    folder = product.settings.var / "demo" / "frames"
    write_study(
        folder,
        scanned(SEED, SHAPE),
        patient_id=patient["identifier"][0]["value"],
        patient_name="{family}^{given[0]}".format(**patient["name"][0]),
        birth_date=patient["birthDate"].replace("-", ""),
        sex="M",
        roles=("t1",),
    )
    files = sorted(folder.glob("*.dcm"))
    header = pydicom.dcmread(files[len(files) // 2], stop_before_pixels=True)
    study, series, instance = (
        str(header[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    answer = stow.store(run.as_("doctor"), files)
    require(answer.status_code == 200, f"STOW answered {answer.status_code}: {answer.text[:200]}")
    wait_for("study available", lambda: main_job.find_study(run, study, "available"), 120)
    row = Index(product.settings.var / "dicom", read_only=True).by_sop_uid(instance)
    if row is None:
        raise StepFailedError("the uploaded instance has no row")
    path = f"/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/1"
    return path, f"/instances/{row.orthanc_id}/frames/0/raw", row.bytes_after or row.bytes_before
