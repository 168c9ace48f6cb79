"""A SMART app as a stranger would write it: discovery, authorization code with PKCE, bearer requests.

It knows the product only through its public address, so what it can do any registered app can do.
Sources: SMART App Launch 2.2.0 (App Launch: Standalone), RFC 6749 4.1, RFC 6585 4, RFC 7636, RFC 9207.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from demo.phone import Phone

MAX_PAUSES, LONGEST_PAUSE_S = 30, 5
MAX_PAGES = 12  # login, second factor, consent: more pages than that mean a loop


class SignInError(Exception):
    """The code flow ended somewhere else than at our redirect address."""


class _Forms(HTMLParser):
    """Collects the first form of a page: its action and the values of its inputs; and the link to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.go_on: str | None = None
        self.values: dict[str, str | list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the form's action and every named input or submit button; of boxes those that are ticked."""
        values = dict(attrs)
        if tag == "form" and self.action is None and (values.get("method") or "").lower() == "post":
            self.action = values.get("action") or ""
        if tag == "a" and values.get("class") == "button" and self.go_on is None:
            self.go_on = values.get("href")
        name = values.get("name")
        if tag in ("input", "button") and self.action is not None and name:
            if values.get("type") == "checkbox":
                if "checked" in values:
                    switched_on = self.values.setdefault(name, [])
                    if isinstance(switched_on, list):
                        switched_on.append(values.get("value") or "on")
                return
            self.values.setdefault(name, values.get("value") or "")


def link_of(page: httpx.Response) -> str | None:
    """The absolute address behind a page's link to go on, where it has no form."""
    forms = _Forms()
    forms.feed(page.text)
    return urljoin(str(page.url), forms.go_on) if forms.go_on and forms.action is None else None


def form_of(page: httpx.Response) -> tuple[str, dict[str, str | list[str]]]:
    """The absolute action and the values of the first POST form of an HTML page."""
    forms = _Forms()
    forms.feed(page.text)
    if forms.action is None:
        raise SignInError(f"{page.request.method} {page.url.path} answered {page.status_code} without a form")
    return urljoin(str(page.url), forms.action), forms.values


@cache
def _trusted() -> ssl.SSLContext:
    """The certificate authorities: to load them takes 20 to 40 ms."""
    return httpx.create_ssl_context()


@dataclass
class Session:
    """One person signed in through the app: a token, and the browser that the person used."""

    base_url: str
    browser: httpx.Client
    token: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def bearer(self) -> dict[str, str]:
        """The Authorization header of this session's access token."""
        return {"Authorization": f"Bearer {self.token['access_token']}"}

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request with the access token; `path` begins with a slash."""
        headers = {**self.headers, **self.bearer, **options.pop("headers", {})}
        url = self.base_url + path
        return httpx.request(method, url, headers=headers, timeout=120, verify=_trusted(), **options)

    def in_browser(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request of the product's own pages: by the session's cookie, our Origin and the CSRF value."""
        me = self.browser.get(f"{self.base_url}/auth/me", headers={"Accept": "application/json"})
        me.raise_for_status()
        headers = {"Origin": self.base_url, "X-CSRF-Token": me.json()["csrf"]}
        return self.browser.request(method, self.base_url + path, headers=headers, **options)

    def fhir(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A FHIR request below /fhir; the answer is not checked."""
        headers = {"Accept": "application/fhir+json", **options.pop("headers", {})}
        if "json" in options:
            headers.setdefault("Content-Type", "application/fhir+json")
        return self.request(method, f"/fhir/{path}", headers=headers, **options)

    def read(self, path: str) -> Any:
        """A FHIR read or search that has to succeed."""
        answer = self.fhir("GET", path)
        answer.raise_for_status()
        return answer.json()

    def create(self, resource: dict[str, Any], **headers: str) -> Any:
        """A FHIR create that has to succeed; returns the stored resource."""
        answer = self.fhir("POST", resource["resourceType"], json=resource, headers=headers)
        if answer.is_error:
            raise httpx.HTTPStatusError(answer.text[:600], request=answer.request, response=answer)
        return answer.json()


class Unhurried(httpx.HTTPTransport):
    """Comes again when it is told that it asks too often: 429 says that nothing was done."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer after the short pauses that Retry-After asks for; a longer one is the caller's."""
        for _ in range(MAX_PAUSES):
            response = super().handle_request(request)
            pause = float(response.headers.get("Retry-After", "1"))
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS or pause > LONGEST_PAUSE_S:
                return response
            response.close()
            time.sleep(pause)
        return super().handle_request(request)


def new_browser(*, follow_redirects: bool = False) -> httpx.Client:
    """A person's browser: keeps cookies; people at one address have to wait for each other at the login."""
    return httpx.Client(transport=Unhurried(verify=_trusted()), follow_redirects=follow_redirects, timeout=60)


@dataclass(frozen=True)
class App:
    """A registered public client with a loopback redirect address."""

    base_url: str
    client_id: str
    redirect_uri: str
    scope: str

    def sign_in(self, username: str, password: str, phone: Phone | None = None) -> Session:
        """Walk the authorization code flow with this person's password and phone, page by page."""
        with ExitStack() as held:
            browser = new_browser()
            held.callback(browser.close)
            token = self._token(browser, username, password, phone or Phone())
            held.pop_all()  # from here on the session's
            return Session(self.base_url, browser, token)

    def _token(self, browser: httpx.Client, username: str, password: str, phone: Phone) -> dict[str, Any]:
        """The token response of one walk through the code flow."""
        configuration = browser.get(f"{self.base_url}/fhir/.well-known/smart-configuration").json()
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        page = browser.get(
            configuration["authorization_endpoint"],
            params={
                "response_type": "code",
                "client_id": self.client_id,
                "redirect_uri": self.redirect_uri,
                "scope": self.scope,
                "state": state,
                "aud": f"{self.base_url}/fhir",
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            },
        )
        answer = self._walk(browser, page, username, password, phone)
        if answer.get("state") != [state] or "code" not in answer:
            error = answer.get("error", ["without a code"])[0]
            raise SignInError(f"the authorization server answered {error}")
        if answer.get("iss", [configuration["issuer"]]) != [configuration["issuer"]]:
            raise SignInError("the answer comes from another issuer")
        token = browser.post(
            configuration["token_endpoint"],
            data={
                "grant_type": "authorization_code",
                "code": answer["code"][0],
                "redirect_uri": self.redirect_uri,
                "client_id": self.client_id,
                "code_verifier": verifier,
            },
        )
        token.raise_for_status()
        granted: dict[str, Any] = token.json()
        return granted

    def _walk(
        self, browser: httpx.Client, page: httpx.Response, username: str, password: str, phone: Phone
    ) -> dict[str, list[str]]:
        """Follow redirects and submit forms until the browser is sent back to the app."""
        for _ in range(MAX_PAGES):
            if page.is_redirect:
                target = urljoin(str(page.url), page.headers["location"])
                if target.startswith(self.redirect_uri):
                    return parse_qs(urlsplit(target).query)
                page = browser.get(target)
                continue
            if page.is_error:
                raise SignInError(f"{page.url.path} answered {page.status_code}: {page.text[:200]}")
            if page.url.path.endswith("/enrol") and (go_on := link_of(page)) is not None:
                page = browser.get(go_on)  # the recovery codes were shown
                continue
            action, values = form_of(page)
            if "username" in values:
                values |= {"username": username, "password": password}
            if "code" in values:
                if values.get("do") == "on":
                    phone.enrol(page.text)
                values["code"] = phone.code()
            page = browser.post(action, data=values, headers={"Origin": self.base_url})
        raise SignInError("too many pages")
