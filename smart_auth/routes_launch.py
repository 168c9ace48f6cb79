"""EHR launch: a signed-in person chooses patient, visit and app, here or in the first-party web app.

Source: SMART App Launch 2.2.0 "App Launch: EHR Launch" (`iss`, `launch`), "Scopes and Launch Context".
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smart_auth import browser, clients, directory, launch, pages, web
from smart_auth.directory import Looker
from smart_auth.errors import CrossSiteError, NoCredentialsError, RuleError
from smart_auth.launch import Launch
from smart_auth.models import Client
from smart_auth.routes_flow import offset_of, search
from smart_auth.service import SMARTAuth
from smart_auth.session import Session, own_patient

_FIELDS = frozenset({"client_id", "patient", "encounter", "intent", "fhirContext", "need_patient_banner"})


async def launch_page(auth: SMARTAuth, request: Request) -> Response:
    """Choose a patient; a patient's own is chosen already."""
    session = await browser.login_session(auth, request)
    if session is None:
        return web.redirect("/auth/login?next=/auth/launch")
    return await _page(auth, request, session, {})


async def launch_(auth: SMARTAuth, request: Request) -> Response:
    """Search, choose, and open; JSON from the first-party app opens at once."""
    is_json = request.headers.get("content-type", "").startswith("application/json")
    session = await browser.login_session(auth, request)
    if session is None:
        if is_json:
            raise NoCredentialsError
        return web.redirect("/auth/login?next=/auth/launch")
    if is_json:
        return await _launch_json(auth, request, session)
    form = await web.form(request)
    if not browser.is_genuine(auth, request, session, form.get("csrf")):
        raise CrossSiteError
    if "open" not in form:
        return await _page(auth, request, session, form)
    try:
        client, launch_id = await _make(auth, request, session, form)
    except RuleError:
        return await _page(auth, request, session, {}, error="launch_refused", status=422)
    return web.redirect(launch.launch_address(client, auth.settings.audience, launch_id))


async def style(auth: SMARTAuth, request: Request) -> Response:
    """Colours and fonts for apps that want to look like us; open to everybody."""
    headers = {"Cache-Control": "public, max-age=86400", "Access-Control-Allow-Origin": "*"}
    return JSONResponse(dict(launch.STYLE), headers=headers)


async def _launch_json(auth: SMARTAuth, request: Request, session: Session) -> Response:
    if not browser.is_genuine(auth, request, session, None):
        raise CrossSiteError
    given = await web.json_object(request)
    if not set(given) <= _FIELDS:
        raise RuleError(
            "a launch has client_id, patient, encounter, intent, fhirContext, need_patient_banner"
        )
    client, launch_id = await _make(auth, request, session, given)
    body = {
        "launch": launch_id,
        "url": launch.launch_address(client, auth.settings.audience, launch_id),
        "expires_in": auth.settings.launch_s,
    }
    return JSONResponse(body, 201, headers=web.NO_STORE)


async def _make(
    auth: SMARTAuth, request: Request, session: Session, given: dict[str, Any]
) -> tuple[Client, str]:
    """A launch of what this person may read; RuleError for anything else."""
    address = web.address(auth, request)
    looker = auth.looker(session, address)
    client = await auth.client(str(given.get("client_id", "")))
    if client is None or not launch.is_launchable(client):
        raise RuleError("this app cannot be launched")
    patient, encounter = _id(given, "patient"), _id(given, "encounter")
    if patient is not None and await looker.patient(patient) is None:
        raise RuleError("there is no such patient")
    if encounter is not None and (patient is None or await looker.encounter(patient, encounter) is None):
        raise RuleError("there is no such visit of this patient")
    banner = given.get("need_patient_banner", True)
    if not isinstance(banner, bool):
        raise RuleError("need_patient_banner is true or false")
    context: dict[str, Any] = {
        "need_patient_banner": banner,
        "smart_style_url": f"{auth.settings.origin}{launch.STYLE_PATH}",
    }
    if given.get("intent") is not None:
        context["intent"] = launch.checked_intent(given["intent"])
    if given.get("fhirContext") is not None:
        context["fhirContext"] = await launch.checked_context(given["fhirContext"], patient, looker.read)
    made = Launch(session.user_id, session.sid, client.id, patient, encounter, context)
    launch_id = await launch.create(auth.store, made, lifetime_s=auth.settings.launch_s)
    await auth.record("launch-made", "success", session, client=client.id, address=address)
    return client, launch_id


async def _page(
    auth: SMARTAuth,
    request: Request,
    session: Session,
    form: dict[str, str],
    *,
    error: str = "",
    status: int = 200,
) -> Response:
    looker = auth.looker(session, web.address(auth, request))
    own = own_patient(session.role, session.fhir_user)
    wanted = own or form.get("patient")
    patient = await looker.patient(wanted) if wanted else None
    values: dict[str, Any] = {"chosen": None, "apps": [], "visits": []}
    if patient is not None:
        values = await _choice(auth, looker, patient)
    else:
        values |= await search(looker, form)
    return pages.render(
        request,
        "launch.html",
        status=status,
        form_target=[app.launch_uri for app in values["apps"]],
        csrf=session.csrf,
        error=error,
        can_change=own is None,
        **values,
    )


async def _choice(auth: SMARTAuth, looker: Looker, patient: directory.Resource) -> dict[str, Any]:
    line = directory.patient_line(patient)
    found = await looker.encounters(line.id, offset_of({}))
    known = await auth.in_thread(clients.listed, auth.database)
    return {
        "chosen": line,
        "visits": [directory.encounter_line(resource) for resource in found.resources],
        "apps": [app for app in known if app.status == "active" and launch.is_launchable(app)],
    }


def _id(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise RuleError(f"{name} is an id")
    return value
