"""Equal work: what is hidden takes the calls that what is missing takes."""

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from facade.errors import NotFoundError
from facade.gate import Gate
from facade.hapi import HAPIClient
from smart_auth.interaction import Interaction, Principal
from smart_auth.scopes import parse

PROVENANCE = {"resourceType": "Provenance", "id": "p1", "target": [{"reference": "DiagnosticReport/r1"}]}


def report(patient: str, status: str = "final") -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": status,
        "subject": {"reference": f"Patient/{patient}"},
    }


async def read(*resources: dict[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """What patient `own` gets for Provenance/p1 when HAPI has these, and the calls that it took."""
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(f"{request.url.path}?{request.url.query.decode()}")
        entries = [
            {"resource": one, "search": {"mode": "match" if one is PROVENANCE else "include"}}
            for one in resources
        ]
        return httpx.Response(200, json={"resourceType": "Bundle", "entry": entries})

    caller = Principal(
        "u", "Patient/own", "patient", parse("patient/*.rs"), "app", "j", patient="own", expires=2**33
    )
    async with HAPIClient("http://hapi/fhir", "x", transport=httpx.MockTransport(answer)) as hapi:
        gate = Gate(cast(Any, SimpleNamespace(hapi=hapi)), caller, None)
        decision = gate.decide(Interaction("read", "Provenance", "p1"))
        try:
            return await gate.read(decision, "Provenance", "p1"), calls
        except NotFoundError:
            return None, calls


async def test_a_provenance_comes_with_what_it_speaks_about() -> None:
    shown, calls = await read(PROVENANCE, report("own"))
    assert shown == PROVENANCE
    assert len(calls) == 1
    assert "_include=Provenance:target" in calls[0]


@pytest.mark.parametrize(
    "stored",
    [
        (),
        (PROVENANCE,),
        (PROVENANCE, report("foreign")),
        (PROVENANCE, report("own", "preliminary")),
    ],
)
async def test_a_hidden_provenance_takes_the_calls_of_a_missing_one(
    stored: tuple[dict[str, Any], ...],
) -> None:
    shown, calls = await read(*stored)
    missing, others = await read()
    assert shown is missing is None
    assert calls == others
