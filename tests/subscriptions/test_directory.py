import json
from collections.abc import AsyncIterator

import httpx
import pytest

from facade.hapi import HAPIClient
from facade.identify import Identified, token
from imaging.identity import IdentityTags, Quarantine, Source
from subscriptions.directory import Directory

MRN = "urn:neuronova:mrn"
HOSPITAL = {
    "resourceType": "Organization",
    "id": "hospital",
    "identifier": [{"system": "urn:neuronova:patient-identifier-system", "value": MRN}],
}
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [{"system": MRN, "value": "A,1"}],
    "name": [{"family": "Demo", "given": ["One"]}],
    "birthDate": "1980-01-01",
}
ORDER = {
    "resourceType": "ServiceRequest",
    "id": "o",
    "status": "active",
    "subject": {"reference": "Patient/p"},
    "identifier": [{"system": "urn:neuronova:accession", "value": "ACC"}],
}
MODALITY = {
    "resourceType": "Device",
    "id": "m",
    "status": "active",
    "identifier": [{"system": "urn:neuronova:ae-title", "value": "MR1"}],
}
STAFF = Source("stow", "Practitioner/x", staff=True)
TAGS = IdentityTags(patient_id="A,1", name="Demo^One", birth_date="19800101", accession="ACC")


class Server(httpx.AsyncBaseTransport):
    """HAPI as far as these lookups go."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        type_ = request.url.path.rpartition("/")[2]
        self.asked.append(f"{type_}?{request.url.params.get('identifier')}")
        found = {r["resourceType"]: r for r in (HOSPITAL, PATIENT, ORDER, MODALITY)}.get(type_)
        bundle = {"resourceType": "Bundle", "entry": [{"resource": found}] if found else []}
        return httpx.Response(200, content=json.dumps(bundle))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def directory(server: Server) -> AsyncIterator[Directory]:
    async with HAPIClient("http://hapi/fhir", "s", transport=server) as hapi:
        yield Directory(hapi)


async def test_an_instance_is_matched_to_patient_and_order(directory: Directory, server: Server) -> None:
    assert await directory.identify(TAGS, STAFF) == Identified("Patient/p", "ServiceRequest/o")
    assert rf"Patient?{MRN}|A\,1" in server.asked


async def test_the_instances_of_a_study_ask_once(directory: Directory, server: Server) -> None:
    for _ in range(5):
        await directory.identify(TAGS, STAFF)
    assert len(server.asked) == 3


async def test_an_unknown_sender_is_never_searched_in_our_numbering(
    directory: Directory, server: Server
) -> None:
    found = await directory.identify(TAGS, Source("c-store", "STRANGER"))
    assert isinstance(found, Quarantine)
    assert found.code == "unknown-issuer"
    assert not any(question.startswith("Patient") for question in server.asked)


async def test_only_an_active_modality_has_its_title(directory: Directory) -> None:
    assert (await directory.modality("MR1") or {}).get("id") == "m"
    assert await directory.modality("MR2") is None


def test_what_has_a_meaning_in_a_search_is_escaped() -> None:
    assert token("s", r"a\b|c$d,e") == r"s|a\\b\|c\$d\,e"
