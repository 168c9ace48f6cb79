"""The suite against another server: HAPI without the facade, which protects nobody, leaks and is told to."""

import json
from pathlib import Path
from typing import Any

import pytest

from facade.hapi import HAPIClient
from tests.escape import outside, test_chains, test_reads, test_writes
from tests.escape.suite import Suite
from tests.facade.world import observation, patient

pytestmark = pytest.mark.server


async def credentials(hapi: Any) -> str:
    """Two patients with an Observation each, and a token that HAPI does not look at."""
    sides: dict[str, dict[str, str]] = {}
    secret = hapi.secrets["hapi-facade"]
    async with HAPIClient(hapi.hapi_url, secret) as store:
        for side in ("own", "foreign"):
            person = await store.create(patient(f"Marker{side}^Demo"))
            seen = await store.create(observation(f"Patient/{person['id']}"))
            mrn = person["identifier"][0]["value"]
            sides[side] = {"patient": person["id"], "observation": seen["id"], "mrn": mrn}
    sides["foreign"]["marker"] = "Markerforeign"
    headers = {"X-NeuroNova-Secret": secret}
    return json.dumps(sides | {"tokens": {"patient": "none"}, "headers": headers})


@pytest.fixture
async def unprotected(hapi: Any, tmp_path: Path) -> Suite:
    """HAPI by its address, as ESCAPE_BASE names it."""
    file = tmp_path / "credentials.json"
    file.write_text(await credentials(hapi))
    running = outside.suite(hapi.hapi_url, file)
    await running.check()
    return running


@pytest.mark.parametrize(
    ("probes", "said"),
    [
        (test_reads.PROBES, "says foreign.marker"),
        (test_chains.PROBES, "body"),
        (test_writes.PROBES, "status"),
    ],
    ids=["reads", "chains", "writes"],
)
async def test_a_server_that_protects_nobody_leaks(unprotected: Suite, probes: Any, said: str) -> None:
    outcome = await unprotected.run(probes[::3])
    assert outcome.answered
    assert any(said in line for leak in outcome.leaks for line in leak.found)
