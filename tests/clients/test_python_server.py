"""fhirpy (async) and the Python fhirclient do their everyday work through nginx.

They are told address and token alone. Neither sends If-Match: the body's meta.versionId says which version
was seen.
"""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRServer
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

from demo.app import Session
from tests.facade.world import patient

pytestmark = pytest.mark.server
COUNT, PAGE = 7, 3


@pytest.fixture
def fhirpy_client(signed_in: dict[str, Session]) -> AsyncFHIRClient:
    """fhirpy with an administrator's token (who alone may delete)."""
    session = signed_in["admin"]
    return AsyncFHIRClient(f"{session.base_url}/fhir", authorization=session.bearer["Authorization"])


async def test_fhirpy_creates_reads_updates_and_searches_page_by_page(
    fhirpy_client: AsyncFHIRClient,
) -> None:
    family = f"Fhirpy{uuid4().hex}"
    for _ in range(COUNT):
        await fhirpy_client.resource("Patient", **without_type(patient(f"{family}^One"))).save()
    found = fhirpy_client.resources("Patient").search(family=family).limit(PAGE)
    assert len(await found.fetch()) == PAGE
    everyone = await found.fetch_all()
    assert len({one.id for one in everyone}) == COUNT
    one = await fhirpy_client.reference("Patient", everyone[0].id).to_resource()
    one["gender"] = "female"
    await one.save()
    stale = await fhirpy_client.reference("Patient", one.id).to_resource()
    one["gender"] = "male"
    await one.save()
    # fhirpy's name for every 412; the answer inside says that the resource has changed.
    with pytest.raises(MultipleResourcesFound, match="ERR_301"):
        await stale.save()
    again = await fhirpy_client.reference("Patient", one.id).to_resource()
    assert again["gender"] == "male"


async def test_fhirpys_conditional_create_makes_one(signed_in: dict[str, Session]) -> None:
    # Its get_or_create asks in the query, in another server's dialect; the standard's header is FHIR's way.
    session, body = signed_in["admin"], without_type(patient(f"Fhirpy{uuid4().hex}^Once"))
    mrn = body["identifier"][0]
    asked = f"identifier={mrn['system']}|{mrn['value']}"
    client = AsyncFHIRClient(
        f"{session.base_url}/fhir",
        authorization=session.bearer["Authorization"],
        extra_headers={"If-None-Exist": asked},
    )
    first, second = client.resource("Patient", **body), client.resource("Patient", **body)
    await first.save()
    await second.save()
    assert first.id == second.id


async def test_fhirpy_deletes_only_with_the_version_that_was_seen(fhirpy_client: AsyncFHIRClient) -> None:
    one = fhirpy_client.resource("Patient", **without_type(patient(f"Fhirpy{uuid4().hex}^Gone")))
    await one.save()
    with pytest.raises(OperationOutcome):
        await one.delete()
    versioned = AsyncFHIRClient(
        fhirpy_client.url,
        authorization=fhirpy_client.authorization,
        extra_headers={"If-Match": f'W/"{one["meta"]["versionId"]}"'},
    )
    await versioned.reference("Patient", one.id).delete()
    with pytest.raises(ResourceNotFound):
        await fhirpy_client.reference("Patient", one.id).to_resource()


@pytest.fixture
def smart_client(signed_in: dict[str, Session]) -> FHIRServer:
    """The Python fhirclient's server with a doctor's token."""
    session = signed_in["doctor"]
    client = FHIRClient(settings={"app_id": "tests-clients", "api_base": f"{session.base_url}/fhir"})
    server = client.server
    server.session.headers.update(session.bearer)
    return server


def test_the_python_fhirclient_creates_reads_updates_and_searches_page_by_page(
    smart_client: FHIRServer,
) -> None:
    family = f"Client{uuid4().hex}"
    for _ in range(COUNT):
        assert Patient(patient(f"{family}^One")).create(smart_client)["resourceType"] == "Patient"
    search = Patient.where({"family": family, "_count": str(PAGE)})
    assert len({one.id for one in search.perform_resources_iter(smart_client)}) == COUNT
    pages = list(search.perform_iter(smart_client))
    assert [len(page.entry) for page in pages] == [3, 3, 1]
    one = pages[0].entry[0].resource
    one.gender = "female"
    one.update(smart_client)
    assert Patient.read(one.id, smart_client).gender == "female"
    # What was read before the update is an old version now, and would undo it.
    one.gender = "male"
    with pytest.raises(Exception, match="412"):
        one.update(smart_client)


def test_the_python_fhirclients_second_create_of_a_patient_finds_the_first(
    smart_client: FHIRServer, signed_in: dict[str, Session]
) -> None:
    body = patient(f"Client{uuid4().hex}^Once")
    mrn = body["identifier"][0]
    smart_client.session.headers["If-None-Exist"] = f"identifier={mrn['system']}|{mrn['value']}"
    first, second = Patient(body).create(smart_client), Patient(body).create(smart_client)
    assert first["id"] == second["id"]
    answer: httpx.Response = signed_in["doctor"].fhir(
        "GET", f"Patient?identifier={mrn['value']}&_total=accurate"
    )
    assert answer.json()["total"] == 1


def without_type(body: dict[str, object]) -> dict[str, Any]:
    """As fhirpy takes a resource: the type apart from the rest."""
    return {name: value for name, value in body.items() if name != "resourceType"}
