"""A stranger's app and a clinician in headless Chromium: every page between the two, looked at by a person.

`python -m tests.flows.app_pages FOLDER` renews the pictures in docs/screenshots, with a stack of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from playwright.sync_api import Page

from demo.viewer import chromium
from smart_auth import clients, users
from smart_auth.database import Database
from tests.flows.login_pages import PASSWORD, Walk, pages
from tests.servers.stack import Stack, make_stack

PROGRAMS = ("redis", "hapi", "facade", "nginx")
MRN = "urn:neuronova:mrn"
SCOPE = (
    "openid fhirUser offline_access launch launch/patient launch/encounter "
    "patient/Patient.rs patient/Observation.rs patient/Condition.rs patient/ImagingStudy.rs "
    "patient/DiagnosticReport.rs patient/MedicationRequest.crus user/Practitioner.rs"
)
STANDALONE = " ".join(word for word in SCOPE.split() if word != "launch")
EHR = " ".join(word for word in SCOPE.split() if word != "launch/patient")


@dataclass
class App:
    """A public app on a loopback address that knows the product by its public address only."""

    base_url: str
    client_id: str
    port: int
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    answers: list[dict[str, str]] = field(default_factory=list)

    @property
    def redirect_uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/callback"

    @property
    def launch_uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/launch"

    def authorize(self, scope: str, **more: str) -> str:
        """The address that the app sends the browser to."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": scope,
            "state": "a-state",
            "aud": f"{self.base_url}/fhir",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{self.base_url}/auth/authorize?{urlencode(asked | more)}"

    def token(self) -> dict[str, Any]:
        """Redeem the last answer."""
        form = {
            "grant_type": "authorization_code",
            "code": self.answers[-1]["code"],
            "redirect_uri": self.redirect_uri,
            "client_id": self.client_id,
            "code_verifier": self.verifier,
        }
        answer = httpx.post(f"{self.base_url}/auth/token", data=form, timeout=30)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def refresh(self, token: str) -> httpx.Response:
        """A refresh."""
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.client_id}
        return httpx.post(f"{self.base_url}/auth/token", data=form, timeout=30)

    def read(self, token: dict[str, Any], path: str) -> httpx.Response:
        """A FHIR request with the access token."""
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        return httpx.get(f"{self.base_url}/fhir/{path}", headers=headers, timeout=30)


class AppWalk(Walk):
    """A walk that also leads to the app's own address, and nowhere else."""

    app_address = ""

    def _asked(self, url: str) -> None:
        if not (self.app_address and url.startswith(self.app_address)):
            super()._asked(url)


def walk_of(stack: Stack, page: Page, lang: str, screen: str, pictures: Path | None, one: App) -> AppWalk:
    """A person in front of this app."""
    walk = AppWalk(stack, page, lang, screen, pictures)
    walk.app_address = f"http://127.0.0.1:{one.port}/"
    return walk


@contextmanager
def app(stack: Stack) -> Iterator[App]:
    """The app, registered by the operator and listening."""
    served: list[App] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/launch":
                assert query["iss"] == f"{stack.base_url}/fhir"
                self.send_response(302)
                self.send_header("Location", served[0].authorize(EHR, launch=query["launch"]))
                self.end_headers()
                return
            if parts.path == "/callback":
                served[0].answers.append(query)
            self.send_response(200 if parts.path == "/callback" else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>app</title><p id=done>The app goes on.</p>")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    one = App(stack.base_url, f"app-{secrets.token_hex(4)}", server.server_address[1])
    served.append(one)
    with database(stack) as opened:
        clients.register(
            opened, one.client_id, kind="public", name="Growth Chart", scope=SCOPE,
            redirect_uris=[one.redirect_uri], launch_uri=one.launch_uri,
        )  # fmt: skip
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()
        with database(stack) as opened:
            clients.set_disabled(opened, one.client_id, disabled=True)


@contextmanager
def database(stack: Stack) -> Iterator[Database]:
    """The installation's logins and apps, as the operator's command opens them."""
    opened = Database(stack.variables("facade")["SMART_AUTH_DATABASE_URL"])
    try:
        yield opened
    finally:
        opened.close()


def login(stack: Stack, role: str = "doctor") -> str:
    """A new login with PASSWORD; its name."""
    name = f"{role}.{secrets.token_hex(3)}"
    with database(stack) as opened:
        invitation = users.create(opened, name, role, fhir_user="Practitioner/demo")
        users.accept(opened, invitation.code, PASSWORD, length=12)
    return name


def ward(stack: Stack) -> dict[str, str]:
    """A patient with a Korean and a Latin name and two visits, and another patient; ids by name."""
    headers = {"X-NeuroNova-Secret": stack.secrets["hapi-facade"], "Content-Type": "application/fhir+json"}
    made = {"mrn": f"W-{secrets.token_hex(4)}"}

    def create(resource: dict[str, Any]) -> str:
        body = json.dumps(resource).encode()
        path = f"{stack.hapi_url}/{resource['resourceType']}"
        answer = httpx.post(path, content=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["id"])

    for name, family, given in (("patient", "홍", "길동"), ("foreign", "Demo", "Other")):
        resource = {
            "resourceType": "Patient",
            "identifier": [
                {"system": MRN, "value": made["mrn"] if name == "patient" else f"{made['mrn']}-2"}
            ],
            "name": [{"family": family, "given": [given]}, {"family": "Demo", "given": ["Patient"]}],
            "gender": "female",
            "birthDate": "1971-02-03",
        }
        made[name] = create(resource)
    for name, status, start in (
        ("old", "finished", "2026-02-02T10:00:00Z"),
        ("visit", "in-progress", "2026-03-01T09:30:00Z"),
    ):
        visit = {
            "resourceType": "Encounter",
            "status": status,
            "class": {"code": "AMB", "display": "ambulatory"},
            "type": [{"text": "외래 진료"}],
            "subject": {"reference": f"Patient/{made['patient']}"},
            "period": {"start": start},
        }
        made[name] = create(visit)
    return made


def standalone(walk: Walk, one: App, made: dict[str, str], username: str) -> dict[str, Any]:
    """The app asks, the person logs in, chooses patient and visit, switches something off, allows."""
    page = walk.page
    page.goto(one.authorize(STANDALONE))
    walk.look("app-login")
    walk.send(username=username, password=PASSWORD)
    walk.look("patient")
    walk.send(name="홍길동", mrn=made["mrn"])
    walk.look("patient-found")
    with page.expect_navigation():
        page.locator("button[name=patient]").click()
    walk.look("encounter")
    with page.expect_navigation():
        page.locator(f"button[name=encounter][value='{made['visit']}']").click()
    for closed in page.locator("details:not([open]) > summary").all():
        closed.click()
    page.locator("input[value='patient/Condition.rs']").uncheck()
    page.locator("input[name=only][value$='laboratory']").check()
    page.evaluate("scrollTo(0, 0)")
    walk.look("consent")
    with page.expect_navigation(url=f"{one.redirect_uri}**"):
        page.locator("button[name=allow]").click()
    return one.token()


def from_the_ehr(walk: Walk, one: App, made: dict[str, str]) -> dict[str, Any]:
    """The clinician, who is logged in, opens the app with a patient and a visit."""
    page = walk.page
    walk.open("/auth/launch")
    walk.look("launch")
    walk.send(mrn=made["mrn"])
    with page.expect_navigation():
        page.locator("button[name=patient]").click()
    page.locator("select[name=encounter]").select_option(made["visit"])
    page.locator(f"input[value='{one.client_id}']").check()
    walk.look("launch-app")
    with page.context.expect_page() as opened:
        page.locator("button[name=open]").click()
    new = opened.value
    new.wait_for_url(lambda url: "/auth/consent" in url or url.startswith(one.redirect_uri))
    if "/auth/consent" in new.url:
        new.locator("button[name=allow]").click()
        new.wait_for_url(f"{one.redirect_uri}**")
    new.close()
    return one.token()


def main(folder: Path) -> int:
    """Take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    stack = make_stack()
    try:
        stack.need(*PROGRAMS)
        made = ward(stack)
        for lang, screen in (("en", "desktop"), ("ko", "phone")):
            with app(stack) as one, chromium() as browser, pages(browser, lang, screen) as new_page:
                walk = walk_of(stack, new_page(), lang, screen, folder, one)
                standalone(walk, one, made, login(stack))
                from_the_ehr(walk, one, made)
                walk.open("/auth/apps")
                walk.look("apps")
                print("\n".join(walk.faults) or f"{len(walk.seen)} pages")  # noqa: T201 - for who looks
    finally:
        stack.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
