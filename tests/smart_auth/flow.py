"""What the tests of the authorization server share: a browser, a person, the walk through the code flow."""

import base64
import hashlib
import hmac
import html
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from sqlalchemy import func, select
from starlette.applications import Starlette

from smart_auth import users
from smart_auth.events import Agent
from smart_auth.models import Base
from smart_auth.service import SMARTAuth
from smart_auth.settings import SMARTAuthSettings
from tests.smart_auth.quick import tables_in

ORIGIN = "http://localhost:8080"
AUDIENCE = f"{ORIGIN}/fhir"
REDIRECT = "http://127.0.0.1:9999/callback"
WEB_REDIRECT = "https://app.example/callback"
PASSWORD = "correct horse battery staple"
SCOPE = "openid fhirUser offline_access user/*.cruds patient/*.rs launch/patient"


@dataclass
class Recorder:
    """Keeps what would go to the audit trail."""

    events: list[tuple[str, str | None, str | None, str, str | None]] = field(default_factory=list)
    details: list[Mapping[str, str]] = field(default_factory=list)
    agents: list[Agent] = field(default_factory=list)

    def __call__(self, kind: str, agent: Agent, outcome: str, detail: Mapping[str, str]) -> None:
        self.events.append((kind, agent.user, agent.client, outcome, agent.address))
        self.agents.append(agent)
        self.details.append(detail)

    def kinds(self) -> list[tuple[str, str]]:
        """(kind, outcome) in order."""
        return [(event[0], event[3]) for event in self.events]


def settings_for(directory: Path, redis_url: str, **changes: Any) -> SMARTAuthSettings:
    """Settings of a server that keeps everything in one directory."""
    values: dict[str, Any] = {
        "database_url": tables_in(directory),
        "issuer": f"{ORIGIN}/auth",
        "audience": AUDIENCE,
        "keys_dir": directory / "keys",
        "redis_url": redis_url,
        # Most tests are about something else; those about the second factor turn it on.
        "totp_required": False,
    }
    return SMARTAuthSettings(**(values | changes))


def new_browser(app: Starlette) -> httpx.AsyncClient:
    """Another browser."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url=ORIGIN,
        headers={"Accept-Language": "en", "X-Forwarded-For": "192.0.2.1"},
    )


def new_user(auth: SMARTAuth, username: str, role: str, **options: Any) -> str:
    """A user with PASSWORD; returns the id."""
    if role == "patient":
        options.setdefault("fhir_user", "Patient/own")
    if role == "external":
        options.setdefault("organization", "partner")
    invitation = users.create(auth.database, username, role, **options)
    users.accept(auth.database, invitation.code, PASSWORD, length=12)
    auth.feed.refresh()
    return invitation.user.id


def row_counts(auth: SMARTAuth, *tables: type[Base]) -> list[int]:
    """How many rows each table has."""
    with auth.database.read() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def csrf_of(page: httpx.Response) -> str:
    """The hidden CSRF value of a page."""
    match = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert match, page.text
    return match[1]


def without_nonce(page: str) -> str:
    """A page without what is new each time."""
    return re.sub(r'nonce="[^"]*"|name="csrf" value="[^"]*"', "", page)


async def fill(browser: httpx.AsyncClient, page: str, path: str, **form: str) -> httpx.Response:
    """Open a page and send a form with its CSRF value from our own site."""
    data = {"csrf": csrf_of(await browser.get(page))} | form
    return await browser.post(path, data=data, headers={"Origin": ORIGIN})


async def log_in(browser: httpx.AsyncClient, username: str, password: str = PASSWORD) -> httpx.Response:
    """Log in by the page, without an app."""
    return await fill(browser, "/auth/login", "/auth/login", username=username, password=password)


@dataclass
class Flow:
    """One walk through the code flow; fields can be changed to attack it."""

    browser: httpx.AsyncClient
    client_id: str = "demo-app"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    patient: str = ""
    """Id to choose where a patient is asked for."""
    encounter: str = ""
    """Id to choose where a visit is asked for; none: go on without."""
    off: tuple[str, ...] = ()
    """Form values to switch off on the consent page."""
    only: tuple[str, ...] = ()
    """Categories to narrow to on the consent page."""
    pages: list[str] = field(default_factory=list)
    """The pages that the walk has seen."""
    parameters: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        self.parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT,
            "scope": "openid fhirUser offline_access user/*.cruds",
            "state": "a-state",
            "aud": AUDIENCE,
            "nonce": "a-nonce",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        } | self.parameters

    async def authorize(self) -> httpx.Response:
        """The first request."""
        return await self.browser.get("/auth/authorize", params=self.parameters)

    async def answer(self, username: str, password: str = PASSWORD) -> dict[str, str]:
        """Walk until the app is called back; its query."""
        page = await self.authorize()
        for _ in range(20):
            if page.has_redirect_location:
                target = page.headers["location"]
                if target.startswith(self.parameters["redirect_uri"]):
                    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
                page = await self.browser.get(target)
                continue
            assert page.status_code == 200, page.text
            if (step := step_of(page)) is not None:
                self.pages.append(step)
                form = form_of(page, self.off) + [("only", value) for value in self.only]
                form += {
                    "patient": [("patient", self.patient)],
                    "encounter": [("encounter", self.encounter) if self.encounter else ("none", "1")],
                    "consent": [("allow", "1")],
                }[step]
                page = await send(self.browser, step, form)
                continue
            request_id = re.search(r'name="request" value="([^"]*)"', page.text)
            form = {
                "csrf": csrf_of(page),
                "request": request_id[1] if request_id else "",
                "username": username,
                "password": password,
            }
            page = await self.browser.post("/auth/login", data=form, headers={"Origin": ORIGIN})
        raise AssertionError("too many pages")

    async def redeem(self, code: str, **changes: str) -> httpx.Response:
        """The token request."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.parameters["redirect_uri"],
            "client_id": self.client_id,
            "code_verifier": self.verifier,
        }
        return await self.browser.post("/auth/token", data=form | changes)

    async def tokens(self, username: str) -> dict[str, Any]:
        """The whole walk."""
        answer = await self.answer(username)
        response = await self.redeem(answer["code"])
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def refresh(self, token: str, **changes: str) -> httpx.Response:
        """A refresh."""
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.client_id}
        return await self.browser.post("/auth/token", data=form | changes)


def step_of(page: httpx.Response) -> str | None:
    """Which page of the code flow this is: patient, encounter or consent."""
    match = re.search(r'action="/auth/(patient|encounter|consent)"', page.text)
    return match[1] if match else None


def form_of(page: httpx.Response, off: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The hidden values of a page and every switch that is on, without those to be switched off."""
    hidden = re.findall(r'type="hidden" name="(csrf|request)" value="([^"]*)"', page.text)
    switches = re.findall(r'name="scope" value="([^"]*)" checked', page.text)
    on = [("scope", html.unescape(value)) for value in switches]
    return [*dict(hidden).items(), *(pair for pair in on if pair[1] not in off)]


async def send(
    browser: httpx.AsyncClient, step: str, form: Sequence[tuple[str, str]], origin: str | None = ORIGIN
) -> httpx.Response:
    """Send a form of a page, from our own site unless said otherwise."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if origin is not None:
        headers["Origin"] = origin
    return await browser.post(f"/auth/{step}", content=urlencode(form), headers=headers)


def bearer(token: dict[str, Any]) -> dict[str, str]:
    """The header of an access token."""
    return {"Authorization": f"Bearer {token['access_token']}"}


def signed_with_public_key(header: dict[str, Any], claims: dict[str, Any], pem: bytes, digest: str) -> str:
    """A token whose HMAC secret is a public key (confusion of ES with HS); libraries refuse to make one."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    ]
    signature = hmac.digest(pem, ".".join(parts).encode(), digest)
    return ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])
