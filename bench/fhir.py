"""FHIR reads and searches through the facade, beside nginx -> HAPI with nothing in between.

Policy and audit are on. Shipping to HAPI is not: it would load the same HAPI during one target and not the
other. nginx's words on passed answers are received as the shipper receives them, in this process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import audit
from bench.direct import direct
from bench.installation import Installation
from bench.load import Load, Target, interleaved, load
from bench.rows import Row, at_least_times, at_most_more, stated
from demo.run import wait_for
from facade.audit.access import AccessLog

PROGRAMS = ("redis", "hapi", "nginx", "facade", "audit-shipper")
"""What this part alone needs."""

ROUNDS, SECONDS = 5, 2
SEARCH_ROUNDS = 3
WARM_S = 4
OBSERVATIONS = 50
P50_MS, P99_MS, THROUGHPUT, SEARCH_MS = 0.6, 5.0, 0.60, 3.0


def rows(product: Installation) -> Iterator[Row]:
    """A read by id at 1 and 8 connections, a search of 50, and what the audit spool had to take."""
    run = product.run
    patient = run.facts["patient"]
    for number in range(OBSERVATIONS):
        run.as_("rib").create(_observation(patient, number))
    token = run.sign_in_again("doctor").token["access_token"]
    query = f"Observation?subject={patient}&_count={OBSERVATIONS}"
    with shipping_paused(product), direct(product) as direct_url:
        read = {
            "direct": Target(f"{direct_url}/fhir/{patient}"),
            "facade": Target(f"{product.settings.base_url}/fhir/{patient}", token),
        }
        # The same question that the facade asks: from HAPI's own default order it would be another one.
        search = {
            "direct": Target(f"{direct_url}/fhir/{query}&_offset=0&_sort=_id"),
            "facade": Target(f"{product.settings.base_url}/fhir/{query}", token),
        }
        for target in (*read.values(), *search.values()):
            requests = load(target, 8, WARM_S).requests
            product.reads += requests if target.token else 0
        one = interleaved(read, 1, SECONDS, ROUNDS)
        eight = interleaved(read, 8, SECONDS, ROUNDS)
        searched = interleaved(search, 1, SECONDS, SEARCH_ROUNDS)
    product.reads += sum(measured["facade"].requests for measured in (one, eight, searched))
    yield from _read_rows(one, eight)
    found, reference = searched["facade"], searched["direct"]
    name = f"way b, search of {OBSERVATIONS} Observations, 1 connection: p50"
    yield at_most_more(name, found.p50_ms, "ms", reference.p50_ms, SEARCH_MS)
    yield from audit.rows(product)


def _read_rows(one: dict[str, Load], eight: dict[str, Load]) -> Iterator[Row]:
    name = "way a, Patient by id"
    at_one, bare = one["facade"], one["direct"]
    yield at_most_more(f"{name}, 1 connection: p50", at_one.p50_ms, "ms", bare.p50_ms, P50_MS)
    yield at_most_more(f"{name}, 1 connection: p99", at_one.p99_ms, "ms", bare.p99_ms, P99_MS)
    at_eight, bare = eight["facade"], eight["direct"]
    yield at_least_times(f"{name}, 8 connections", at_eight.per_s, "requests/s", bare.per_s, THROUGHPUT)
    yield stated(f"{name}, 8 connections: p50", at_eight.p50_ms, "ms", bare.p50_ms)
    yield stated(f"{name}, 8 connections: p99", at_eight.p99_ms, "ms", bare.p99_ms)


@contextmanager
def shipping_paused(product: Installation) -> Iterator[None]:
    """Stop the shipper when it has nothing left, and take nginx's words in its place."""
    wait_for("a shipped spool", lambda: audit.backlog(product) == 0 or None, 120)
    product.supervisor.stop("audit-shipper")
    access = AccessLog(product.settings.var / "run" / "access.sock")
    try:
        yield
    finally:
        access.close()
        # The words were received here and end with this process: waiting for them would only take time.
        _without_waiting(product.settings.var / "etc" / "env" / "audit-shipper.env")
        product.supervisor.start(["audit-shipper"])


def _without_waiting(variables: Path) -> None:
    with variables.open("a") as file:
        file.write("FACADE_AUDIT_JOIN_S='0'\n")


def _observation(patient: str, number: int) -> dict[str, Any]:
    """A volume in millilitres, as the bundle's findings are."""
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "imaging",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "24590-2"}], "text": f"Volume {number}"},
        "subject": {"reference": patient},
        "effectiveDateTime": "2026-01-05T09:00:00+09:00",
        "valueQuantity": {
            "value": number + 0.5,
            "unit": "mL",
            "system": "http://unitsofmeasure.org",
            "code": "mL",
        },
    }
