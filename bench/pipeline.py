"""From the last byte of an upload to what a doctor can use: the study, the draft report, OpenEMR."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pydicom
from pydicom.uid import generate_uid

from bench.installation import Installation
from bench.rows import Row, at_most, stated
from demo import main_job, readback, stow
from demo.phantom import Study, make_study
from demo.run import Run, require

ROUNDS = 3
AVAILABLE_S, REPORT_S, OPENEMR_S = 10.0, 30.0, 2.0
SEED = 900_001


def rows(product: Installation) -> Iterator[Row]:
    """Whole studies one after another, each uploaded, reported, approved, signed and seen in OpenEMR."""
    run = product.run
    uploads, size = [], "4 x 155 slices of 240x240"
    times: dict[str, list[float]] = {}
    study: Study | None = None
    for _ in range(ROUNDS):
        run.facts["serial"] += 1
        study = _ordered_study(run, study)
        uploads.append(_upload(run, study))
        main_job.available(run)
        main_job.report(run)
        main_job.approve(run)
        main_job.sign(run)
        readback.openemr(run)
        for name, seconds in run.seconds.items():
            times.setdefault(name, []).append(seconds)
    yield at_most("start of everything in a fresh folder, until ready", product.start_s, "s", 60)
    yield stated("memory of all processes, shared pages counted once", product.memory_mb(), "MB")
    yield stated(f"STOW-RS, {size}, four requests", median(uploads), "MB/s")
    for title, key, limit in (
        (f"{size}: last byte -> study available", "last byte -> available", AVAILABLE_S),
        (f"{size}: last byte -> preliminary report", "last byte -> preliminary report", REPORT_S),
    ):
        yield at_most(f"{title} (median)", median(times[key]), "s", limit)
        yield stated(f"{title} (longest of {ROUNDS})", max(times[key]), "s")
    lags = times["signature -> seen in OpenEMR"]
    yield at_most(f"signature -> seen in OpenEMR (longest of {ROUNDS})", max(lags), "s", OPENEMR_S)


def uploaded_study(run: Run) -> tuple[str, int]:
    """Study UID and number of images of a whole study that is available: the last one, or a new one."""
    if "study" not in run.live:
        _upload(run, _ordered_study(run, None))
        main_job.available(run)
    study: Study = run.live["study"]
    return study.study_uid, len(study.files)


def _ordered_study(run: Run, rendered: Study | None) -> Study:
    """A study for a new order; the same head every time, rendered once."""
    main_job.order(run)
    patient = run.as_("doctor").read(run.facts["patient"])
    accession = run.facts["accession"]
    if rendered is None:
        study = make_study(run, patient, accession, seed=SEED, size="native")
    else:
        study = renamed(rendered, run.var / "demo" / accession, accession)
    run.live["study"], run.facts["study_uid"] = study, study.study_uid
    return study


def renamed(study: Study, folder: Path, accession: str, most_series: int | None = None) -> Study:
    """The same pixels under other UIDs and another accession number, of so many of its series."""
    folder.mkdir(parents=True)
    study_uid = generate_uid(prefix=None)
    series: dict[str, list[Path]] = {}
    for role, files in list(study.series.items())[:most_series]:
        series_uid = generate_uid(prefix=None)
        for file in files:
            dataset = pydicom.dcmread(file)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
            dataset.AccessionNumber = accession
            dataset.save_as(folder / file.name)
            series.setdefault(role, []).append(folder / file.name)
    return Study(str(study_uid), series, study.truth)


def _upload(run: Run, study: Study) -> float:
    """MB/s of the upload; the clock of the rest starts with its last byte."""
    size = sum(file.stat().st_size for file in study.files) / 1e6
    began = ended = time.monotonic()
    for series in study.series.values():
        answer = stow.store(run.as_("doctor"), series)
        require(answer.status_code == 200, f"STOW answered {answer.status_code}: {answer.text[:200]}")
        ended = time.monotonic()
    run.live["uploaded_at"] = ended
    return size / (ended - began)
