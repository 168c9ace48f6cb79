"""What the facade costs: five interactions at 1, 8 and 32 connections, beside HAPI alone and nginx -> HAPI.

Policy, validation, references and audit records are in the facade's figures; shipping is not (see fhir.py).
What is written stays in the bench's own store, which is thrown away. A patient writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.direct import direct
from bench.fhir import shipping_paused
from bench.installation import Installation
from bench.load import Load, Target, load
from bench.rows import Row
from demo.run import Run
from deploy.environment import hapi_url

CONNECTIONS = (1, 8, 32)
OBSERVATIONS, ENTRIES = 50, 10
ROUNDS, WARM_S = 3, 4
READ_S, WRITE_S = 2, 5
"""Of one round: 32 transactions at a time take seconds."""
ALONE = "HAPI alone"


@dataclass
class _Measured:
    """The rounds of one target."""

    loads: list[Load] = field(default_factory=list)
    processor_s: dict[str, float] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        return median(one.per_s for one in self.loads)

    def row(self, name: str, reference: float) -> Row:
        """Throughput beside the reference, the rest in words."""
        requests = sum(one.requests for one in self.loads)
        spent = {program: 1000 * seconds / requests for program, seconds in self.processor_s.items()}
        facade = spent.get("facade", 0.0)
        detail = (
            f"p50 {median(one.p50_ms for one in self.loads):.1f} ms, "
            f"p99 {median(one.p99_ms for one in self.loads):.1f} ms, "
            f"processor {sum(spent.values()):.2f} ms, facade {facade / sum(spent.values()):.0%} of it"
        )
        return Row(name, self.per_s, "requests/s", reference, self.per_s / reference, detail=detail)


def rows(product: Installation) -> Iterator[Row]:
    """One row for each interaction, number of connections and way to the store."""
    run = product.run
    for _ in range(OBSERVATIONS):
        run.as_("doctor").create(_vital_sign(run.facts["patient"]))
    with shipping_paused(product), direct(product) as nginx:
        for name, targets in _targets(product, run, nginx).items():
            for target in targets.values():
                load(target, 8, WARM_S)
            for connections in CONNECTIONS:
                found = _measured(product, targets, connections)
                reference = found[ALONE].per_s
                for way, measured in found.items():
                    plural = "s" * (connections > 1)
                    yield measured.row(f"{name}, {connections} connection{plural}: {way}", reference)


def _measured(product: Installation, targets: Mapping[str, Target], connections: int) -> dict[str, _Measured]:
    """The targets take turns, so that a change of the machine meets all of them."""
    found = {way: _Measured() for way in targets}
    for _ in range(ROUNDS):
        for way, target in targets.items():
            before = product.processor_s()
            found[way].loads.append(load(target, connections, WRITE_S if target.body else READ_S))
            product.reads += found[way].loads[-1].requests if target.token else 0
            after = product.processor_s()
            spent = found[way].processor_s
            for program, seconds in after.items():
                spent[program] = spent.get(program, 0.0) + seconds - before.get(program, 0.0)
    return found


def _targets(product: Installation, run: Run, nginx: str) -> dict[str, dict[str, Target]]:
    secret = product.secrets["hapi-facade"]
    store, facade = hapi_url(product.settings), f"{product.settings.base_url}/fhir"
    tokens = {role: run.sign_in_again(role).token["access_token"] for role in ("doctor", "patient")}
    patient, second = run.facts["patient"], run.facts["second"]
    (mrn, *_) = run.as_("doctor").read(patient)["identifier"]

    def read(path: str, asked: str = "") -> dict[str, Target]:
        """`asked`: what the facade adds for HAPI; from HAPI's own order it would be another question."""
        return {
            ALONE: Target(f"{store}/{path}{asked}", secret=secret),
            "nginx and HAPI": Target(f"{nginx}/fhir/{path}{asked}"),
            **{f"as {role}": Target(f"{facade}/{path}", token) for role, token in tokens.items()},
        }

    def write(path: str, body: dict[str, Any]) -> dict[str, Target]:
        text = json.dumps(body)
        return {
            ALONE: Target(f"{store}{path}", secret=secret, body=text),
            "as doctor": Target(f"{facade}{path}", tokens["doctor"], body=text),
        }

    identifier = f"Patient?identifier={mrn['system']}|{mrn['value']}".replace("|", "%7C")
    of_patient = f"Observation?subject={patient}&_count={OBSERVATIONS}"
    entry = {"resource": _vital_sign(second), "request": {"method": "POST", "url": "Observation"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * ENTRIES}
    return {
        "Patient read": read(patient),
        "Patient by identifier": read(identifier, "&_offset=0&_sort=_id"),
        f"search of {OBSERVATIONS} Observations": read(of_patient, "&_offset=0&_sort=_id"),
        "create": write("/Observation", _vital_sign(second)),
        f"transaction of {ENTRIES}": write("", bundle),
    }


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
