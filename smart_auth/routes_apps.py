"""The apps that have access in a person's name: since when, last used, what they may do; and ending it."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from smart_auth import browser, consent, pages, web, wording
from smart_auth.consent import Access
from smart_auth.errors import CrossSiteError
from smart_auth.service import SMARTAuth
from smart_auth.session import Session
from smart_auth.texts import TEXTS


async def apps_page(auth: SMARTAuth, request: Request) -> Response:
    """The list."""
    session = await browser.login_session(auth, request)
    if session is None:
        return web.redirect("/auth/login?next=/auth/apps")
    return await _page(auth, request, session, ended=False)


async def end_app(auth: SMARTAuth, request: Request) -> Response:
    """End one app's access: its tokens are refused within a second, and it asks again next time."""
    form = await web.form(request)
    session = await browser.login_session(auth, request)
    if session is None:
        return web.redirect("/auth/login?next=/auth/apps")
    if not browser.is_genuine(auth, request, session, form.get("csrf")):
        raise CrossSiteError
    client_id = form.get("client_id", "")
    ended = await auth.in_thread(
        consent.end, auth.database, session.user_id, client_id, token_s=auth.settings.access_token_s
    )
    if ended:
        address = web.address(auth, request)
        await auth.record("access-ended", "success", session, client=client_id, address=address)
    return await _page(auth, request, session, ended=ended)


async def _page(auth: SMARTAuth, request: Request, session: Session, *, ended: bool) -> Response:
    found = await auth.in_thread(consent.listed, auth.database, session.user_id, int(time.time()))
    lang = pages.language_of(request)
    return pages.render(
        request,
        "apps.html",
        apps=[_shown(access, lang, auth.settings.time_zone) for access in found],
        ended=ended,
        csrf=session.csrf,
    )


def _shown(access: Access, lang: str, zone: str) -> dict[str, Any]:
    may = [wording.sentence(grant, lang) for grant in sorted(access.scope.grants)]
    if access.scope.words & {"openid", "fhirUser", "profile"}:
        may.append(TEXTS[lang]["apps_identity"])
    return {
        "id": access.client_id,
        "name": access.name,
        "trusted": access.trusted,
        "since": pages.moment(access.since, zone),
        "used": pages.moment(access.used, zone) if access.used is not None else None,
        "may": may,
    }
