"""HTML pages: server-rendered, no script, nothing from outside, strict CSP, Korean and English.

CSRF before a login is bound to a cookie of the page (`neuronova_form`): the form carries its HMAC.
Sources: OWASP CSRF Prevention (signed double submit), Content Security Policy Level 3, WCAG 2.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from smart_auth.texts import RULES_KO, TEXTS, language

FORM_COOKIE = "neuronova_form"
LANGUAGE_COOKIE = "neuronova_lang"
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
)


def _minute(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M %Z")


_ENVIRONMENT.filters["minute"] = _minute


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    form_target: str | Sequence[str] | None = None,
    headers: dict[str, str] | None = None,
    keep: Mapping[str, str] | None = None,
    **values: Any,
) -> Response:
    """A page. `form_target`: where a form may lead after our answer (the app's redirect address, or several);
    `keep`: parameters that the link to the other language carries on."""
    lang = language_of(request)
    nonce = secrets.token_urlsafe(16)
    text = TEXTS[lang]
    html = _ENVIRONMENT.get_template(template).render(
        t=text, lang=lang, nonce=nonce, switch=_switch(request, text["other_language_code"], keep), **values
    )
    response = HTMLResponse(html, status, headers=headers)
    response.headers.update(_headers(nonce, form_target))
    if request.query_params.get("lang") in TEXTS:
        response.set_cookie(LANGUAGE_COOKIE, lang, max_age=31536000, path="/", httponly=True, samesite="lax")
    return response


def message(
    request: Request, key: str, *, detail: str | None = None, status: int = 200, **values: Any
) -> Response:
    """A page that only says something."""
    return render(request, "message.html", status=status, key=key, detail=detail, **values)


def rule_text(request: Request, rule: str) -> str:
    """The sentence of a broken rule in the reader's language."""
    lang = language_of(request)
    rule = RULES_KO.get(rule, rule) if lang == "ko" else rule
    return TEXTS[lang]["rule_broken"].format(rule=rule)


def texts(request: Request) -> Mapping[str, str]:
    """The sentences in the reader's language."""
    return TEXTS[language_of(request)]


def target(request_id: str, next_path: str) -> str:
    """Where a login goes on: to the app's request, else to a page of this site."""
    return f"/auth/continue?request={quote(request_id, safe='')}" if request_id else local_path(next_path)


def form_value(secret: bytes, cookie: str) -> str:
    """The CSRF value of a form, bound to the form cookie."""
    return base64.urlsafe_b64encode(hmac.digest(secret, cookie.encode(), hashlib.sha256)).decode()


def new_form_cookie(request: Request) -> str:
    """The form cookie that the browser has, or a new one."""
    return request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(32)


def set_form_cookie(response: Response, value: str, *, secure: bool) -> None:
    """Keep the form cookie in the browser."""
    response.set_cookie(
        FORM_COOKIE, value, max_age=3600, path="/auth", secure=secure, httponly=True, samesite="lax"
    )


def is_form_genuine(request: Request, secret: bytes, csrf: str | None) -> bool:
    """Whether the form was made for this browser."""
    cookie = request.cookies.get(FORM_COOKIE)
    return bool(cookie and csrf) and hmac.compare_digest(
        form_value(secret, cookie or "").encode(), (csrf or "").encode()
    )


def local_path(path: str | None) -> str:
    """A path of this site to go on to; anything else is the front page (no open redirect)."""
    if not path or not path.startswith("/") or path.startswith("//") or "\\" in path or not path.isascii():
        return "/"
    return path if path.isprintable() and not urlsplit(path).netloc else "/"


def moment(seconds: int, offset: str) -> datetime:
    """A time in the hospital's zone (`+09:00`); templates show it by `|minute`."""
    return datetime.fromtimestamp(seconds, datetime.strptime(offset, "%z").tzinfo)


def language_of(request: Request) -> str:
    """The language that this reader gets."""
    chosen = request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE)
    return language(request.headers.get("accept-language", ""), chosen)


def _switch(request: Request, lang: str, keep: Mapping[str, str] | None) -> str:
    kept = {**request.query_params, **{name: value for name, value in (keep or {}).items() if value}}
    return f"?{urlencode({**kept, 'lang': lang})}"


def _source(target: str) -> str:
    """The CSP source of an address; schemes of native apps and IPv6 hosts have no host form (CSP 3)."""
    parts = urlsplit(target)
    is_host = re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]+)?", parts.netloc)
    return f"{parts.scheme}://{parts.netloc}" if is_host else f"{parts.scheme}:"


def _headers(nonce: str, form_target: str | Sequence[str] | None) -> dict[str, str]:
    # A form's answer redirects to the app; browsers hold that redirect against form-action.
    targets = [form_target] if isinstance(form_target, str) else form_target or ()
    target = "".join(f" {source}" for source in sorted({_source(each) for each in targets}))
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'{target}; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        # Not `no-referrer`: with it browsers send `Origin: null` from our own forms (Fetch, Origin header).
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
