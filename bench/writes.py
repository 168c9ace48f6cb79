"""Creates and transactions through the facade, beside HAPI itself with nothing in front of it.

Validation, references, policy and both audit records are in the facade's figure. What is written stays in the
bench's own store, which is thrown away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench.fhir import shipping_paused
from bench.installation import Installation
from bench.load import Target, interleaved, load
from bench.rows import Row, stated
from deploy.environment import hapi_url

CONNECTIONS = (1, 8, 32)
ENTRIES = 10
ROUNDS, SECONDS, WARM_S = 3, 5, 5


def rows(product: Installation) -> Iterator[Row]:
    """A create and a transaction of ten, at 1, 8 and 32 connections."""
    patient = product.run.facts["patient"]
    token = product.run.sign_in_again("doctor").token["access_token"]
    secret = (product.settings.var / "secrets" / "hapi-facade").read_text().strip()
    store, facade = hapi_url(product.settings), f"{product.settings.base_url}/fhir"
    one = _vital_sign(patient)
    entry = {"resource": one, "request": {"method": "POST", "url": "Observation"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * ENTRIES}
    with shipping_paused(product):
        for name, path, body in (("create", "/Observation", one), (f"transaction of {ENTRIES}", "", bundle)):
            text = json.dumps(body)
            targets = {
                "direct": Target(f"{store}{path}", secret=secret, body=text),
                "facade": Target(f"{facade}{path}", token, body=text),
            }
            for target in targets.values():
                load(target, 8, WARM_S)
            for connections in CONNECTIONS:
                found = interleaved(targets, connections, SECONDS, ROUNDS)
                title = f"way c, {name}, {connections} connection{'s' * (connections > 1)}"
                ours, bare = found["facade"], found["direct"]
                yield stated(f"{title}: p50", ours.p50_ms, "ms", bare.p50_ms)
                yield stated(f"{title}: p99", ours.p99_ms, "ms", bare.p99_ms)
                yield stated(title, ours.per_s, "requests/s", bare.per_s)


def _vital_sign(patient: str) -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": system, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": patient},
        "valueQuantity": {"value": 72, "unit": "/min"},
    }
