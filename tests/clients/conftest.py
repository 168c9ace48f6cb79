"""A stranger's browser app on another origin of this machine, and the browser that people open it with."""

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from demo.app import App, Session
from demo.run import Run
from deploy.setup.clients import CLIENTS
from smart_auth import roles
from tests.servers.stack import Stack
from tests.smart_auth.product import PASSWORD, known, new_user

PAGES = Path(__file__).parent / "app"
LIBRARY = CLIENTS / "fhirclient" / "package" / "build" / "fhir-client.js"
SCOPE_OF_STAFF = "openid fhirUser user/*.cruds"
SCOPE = "launch launch/patient openid fhirUser patient/Patient.rs patient/Observation.rs"


@dataclass(frozen=True)
class BrowserApp:
    """The app's address and what it is registered as."""

    base_url: str
    client_id: str


class _Pages(SimpleHTTPRequestHandler):
    """Serves the app's pages and, beside them, the library as its publisher built it."""

    def translate_path(self, path: str) -> str:
        """Map the library's name to where set-up unpacked it."""
        if path.partition("?")[0] == "/fhir-client.js":
            return str(LIBRARY)
        return super().translate_path(path)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output to itself."""


def registered(stack: Stack, *arguments: str) -> str:
    """Register a client as the operator does; its id."""
    command = [str(stack.cli), "--var", str(stack.var), "clients", "add", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    client_id: str = json.loads(done.stdout)["client_id"]
    return client_id


@pytest.fixture(scope="session")
def browser_app(stack: Stack, hospital: Run) -> Iterator[BrowserApp]:
    """A public app that nobody trusts, on an origin of its own, registered by the operator."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, directory=str(PAGES)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base_url = f"http://127.0.0.1:{server.server_port}"
    client_id = "stranger"
    registered(
        stack,
        *("--client-id", client_id, "--name", "Stranger's app", "--scope", SCOPE),
        *("--redirect-uri", f"{base_url}/app.html", "--cors-origin", base_url),
        *("--launch-uri", f"{base_url}/launch.html?client={client_id}"),
    )
    yield BrowserApp(base_url, client_id)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def signed_in(stack: Stack, hospital: Run) -> Iterator[dict[str, Session]]:
    """One person of each staff role, signed in through nginx by an app that asks for all they may.

    After the hospital's first administrator, who can only be the first.
    """
    redirect = "http://127.0.0.1:9991/callback"
    arguments = ("--redirect-uri", redirect, "--trusted", "--scope", SCOPE_OF_STAFF)
    if not (stack.var / "tests-clients").exists():
        registered(stack, "--client-id", "tests-clients", "--name", "Staff app", *arguments)
        (stack.var / "tests-clients").touch()
    known(stack, "tests-clients", redirect)
    app = App(stack.base_url, "tests-clients", redirect, SCOPE_OF_STAFF)
    sessions = {}
    for role in sorted(roles.STAFF):
        new_user(stack, f"clients-{role}-staff", role, fhir_user=f"Practitioner/clients-{role}")
        sessions[role] = app.sign_in(f"clients-{role}-staff", PASSWORD)
    yield sessions
    for session in sessions.values():
        session.browser.close()
