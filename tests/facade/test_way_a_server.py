"""Through nginx: an answer that nginx carries (way a) is the answer that the facade would give (way b)."""

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from demo.app import App, Session
from facade.hapi import HAPIClient
from smart_auth import clients, users
from smart_auth.database import Database
from tests.facade.world import patient
from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server
REDIRECT = "http://127.0.0.1:9998/callback"
PASSWORD = "correct horse battery staple"
# An ETag that no version has: the facade has to look at the answer itself.
WAY_B = {"If-None-Match": 'W/"0"'}


@pytest.fixture(scope="module")
def doctor(servers: Stack) -> Iterator[Session]:
    """A doctor of the whole installation, signed in through nginx."""
    stack = servers.need("redis", "hapi", "nginx", "facade")
    database = Database(f"sqlite:///{stack.var}/smart_auth.db")
    if clients.get(database, "way-a-app") is None:
        clients.register(
            database,
            "way-a-app",
            kind="public",
            name="Demo",
            scope="openid user/*.cruds",
            redirect_uris=[REDIRECT],
            trusted=True,
        )
        for role in ("doctor", "admin"):
            invitation = users.create(
                database, f"way-a-{role}", role, fhir_user="Practitioner/x" if role == "doctor" else None
            )
            users.accept(database, invitation.code, PASSWORD, length=12)
    database.close()
    app = App(stack.base_url, "way-a-app", REDIRECT, "openid user/*.cruds")
    # The facade learns of a new client within half a second.
    session = wait_for(lambda: _signed_in(app), "the new client is known")
    yield session
    session.browser.close()


def _signed_in(app: App) -> Session | None:
    try:
        session = app.sign_in("way-a-doctor", PASSWORD)
    except Exception:  # noqa: BLE001 - whatever the first answers are, the last one has to be a token
        return None
    return session if session.fhir("GET", "Patient?_count=1").status_code == 200 else None


@pytest.fixture(scope="module")
async def stored(doctor: Session, servers: Stack) -> str:
    """A Patient's id."""
    async with HAPIClient(servers.hapi_url, servers.secrets["hapi-facade"]) as hapi:
        made = await hapi.create(patient("시험^환자"))
    return str(made["id"])


def without_request_id(answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    for issue in body.get("issue", []):
        assert issue.pop("diagnostics") == answer.headers["x-request-id"]
    return body


# What an answer may carry: FHIR R4 http.html, the guards of facade.arrival, and nginx's own.
ANSWERED = frozenset(
    {
        "access-control-allow-origin",
        "access-control-expose-headers",
        "cache-control",
        "connection",
        "content-length",
        "content-security-policy",
        "content-type",
        "cross-origin-resource-policy",
        "date",
        "etag",
        "last-modified",
        "referrer-policy",
        "server",
        "transfer-encoding",
        "vary",
        "x-content-type-options",
        "x-frame-options",
        "x-request-id",
    }
)


def test_only_listed_headers_go_out_and_every_guard_does(
    doctor: Session, stored: str, servers: Stack
) -> None:
    answers = [
        doctor.fhir("GET", f"Patient/{stored}"),
        doctor.fhir("GET", f"Patient/{stored}", headers=WAY_B),
        doctor.fhir("GET", "Patient/nobody"),
        doctor.fhir("GET", "Patient?_count=1"),
        httpx.get(f"{servers.base_url}/fhir/Patient"),
        httpx.get(f"{servers.base_url}/fhir/metadata"),
        httpx.get(f"{servers.base_url}/health/live"),
        httpx.get(f"{servers.base_url}/docs"),
        httpx.get(f"{servers.base_url}/internal-hapi/Patient/{stored}"),
    ]
    for answer in answers:
        extra = set(answer.headers) - ANSWERED - {"www-authenticate", "retry-after"}
        assert not extra, (answer.url, extra)
        for name in ("x-request-id", "x-content-type-options", "referrer-policy"):
            assert len(answer.headers.get_list(name)) == 1, (answer.url, name)
        if answer.status_code != 404 or "/fhir/" in str(answer.url):
            for name in ("content-security-policy", "x-frame-options", "cross-origin-resource-policy"):
                assert len(answer.headers.get_list(name)) == 1, (answer.url, name)
        assert answer.headers.get("server", "nginx") == "nginx"


def test_both_ways_give_the_same_patient(doctor: Session, stored: str) -> None:
    passed = doctor.fhir("GET", f"Patient/{stored}")
    looked_at = doctor.fhir("GET", f"Patient/{stored}", headers=WAY_B)
    assert passed.status_code == looked_at.status_code == 200
    assert passed.json() == looked_at.json()
    for name in ("content-type", "etag", "last-modified", "cache-control"):
        assert passed.headers[name] == looked_at.headers[name], name
    assert len(passed.headers["x-request-id"]) == 32
    assert "x-powered-by" not in passed.headers


@pytest.mark.parametrize("language", ["en", "ko"])
def test_both_ways_give_the_same_404(doctor: Session, language: str) -> None:
    headers = {"Accept-Language": language}
    passed = doctor.fhir("GET", "Patient/none", headers=headers)
    looked_at = doctor.fhir("GET", "Patient/none", headers=headers | WAY_B)
    assert passed.status_code == looked_at.status_code == 404
    assert without_request_id(passed) == without_request_id(looked_at)


def test_the_answer_was_carried_by_nginx(doctor: Session, stored: str, servers: Stack) -> None:
    """What the facade itself says shows an internal address; a client of nginx never sees it."""
    assert "x-accel-redirect" not in doctor.fhir("GET", f"Patient/{stored}").headers
    socket = httpx.HTTPTransport(uds=str(servers.var / "run" / "facade.sock"))
    with httpx.Client(transport=socket, base_url="http://facade") as client:
        answer = client.get(f"/fhir/Patient/{stored}", headers=doctor.bearer)
    assert answer.headers["x-accel-redirect"] == f"/internal-hapi/Patient/{stored}"
    assert answer.content == b""


def test_an_internal_address_is_closed_to_clients(doctor: Session, stored: str) -> None:
    assert doctor.request("GET", f"/internal-hapi/Patient/{stored}").status_code == 404


@pytest.mark.parametrize(
    "id_", ["..", "%2e%2e", "..%2fmetadata", "a%2Fb", "a%00", "a%20b", "a?b=c", "x" * 65]
)
def test_no_id_leads_elsewhere(doctor: Session, id_: str) -> None:
    public = urlsplit(doctor.base_url)
    connection = HTTPConnection(str(public.hostname), public.port or 80, timeout=30)
    # A client library would tidy the address up; this one sends it as it is.
    connection.request("GET", f"/fhir/Patient/{id_}", headers=doctor.bearer)
    status = connection.getresponse().status
    connection.close()
    assert status in (400, 404)


def test_a_search_through_nginx_keeps_its_links(doctor: Session, stored: str) -> None:
    answer = doctor.fhir("GET", f"Patient?_id={stored}")
    assert [link["url"] for link in answer.json()["link"]] == [f"{doctor.base_url}/fhir/Patient?_id={stored}"]
    assert answer.json()["entry"][0]["fullUrl"] == f"{doctor.base_url}/fhir/Patient/{stored}"
