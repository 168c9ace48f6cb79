"""STOW-RS through the facade beside STOW-RS of Orthanc itself: one series of 155 slices in one request.

What looks at uploads afterwards (ingest, the imaging worker) is stopped meanwhile, so that neither side pays
for it; every round has UIDs of its own. Checking files, patient and rights is in the facade's figure.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from bench.installation import Installation
from bench.pipeline import renamed, uploaded_study
from bench.rows import Row, stated
from demo import stow
from demo.app import Session
from demo.run import require

ROUNDS = 3
AFTERWARDS = ("ingest", "worker-imaging", "worker-inference")


def rows(product: Installation) -> Iterator[Row]:
    """MB/s, the two sides in turns."""
    uploaded_study(product.run)
    doctor, orthanc = product.run.as_("doctor"), _orthanc(product)
    found: dict[str, list[float]] = {"facade": [], "orthanc": []}
    with stopped(product, *AFTERWARDS):
        for number in range(ROUNDS + 1):  # the first one warms both up
            for name, session in (("facade", doctor), ("orthanc", orthanc)):
                files = _series(product, f"{name}-{number}")
                rate = _rate(session, files)
                if number:
                    found[name].append(rate)
    ours, bare = median(found["facade"]), median(found["orthanc"])
    yield stated(
        "STOW-RS, 155 slices of 240x240 in one request; reference: Orthanc's own", ours, "MB/s", bare
    )


def _rate(session: Session, files: list[Path]) -> float:
    size = sum(file.stat().st_size for file in files) / 1e6
    began = time.monotonic()
    answer = stow.store(session, files)
    seconds = time.monotonic() - began
    require(answer.status_code == 200, f"STOW answered {answer.status_code}: {answer.text[:200]}")
    return size / seconds


def _series(product: Installation, name: str) -> list[Path]:
    """One series of the last study, under UIDs of its own."""
    run = product.run
    study = renamed(
        run.live["study"], product.settings.var / "demo" / f"stow-{name}", run.facts["accession"], 1
    )
    (files,) = study.series.values()
    return files


class _Orthanc(Session):
    """Orthanc's own DICOMweb, asked as `stow.store` asks the product."""

    @property
    def bearer(self) -> dict[str, str]:
        """Its users are its own."""
        return {}


def _orthanc(product: Installation) -> Session:
    url = f"http://127.0.0.1:{product.settings.orthanc_port}"
    basic = httpx.BasicAuth("imaging", product.secrets["orthanc-imaging"])
    request = next(basic.auth_flow(httpx.Request("GET", url)))
    headers = {"Authorization": request.headers["Authorization"]}
    return _Orthanc(url, httpx.Client(), {}, headers)


@contextmanager
def stopped(product: Installation, *programs: str) -> Iterator[None]:
    """Without these programs."""
    product.supervisor.stop_together(programs)
    try:
        yield
    finally:
        product.supervisor.start(programs)
