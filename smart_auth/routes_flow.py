"""The steps of an authorization request between the app's question and its code, each a page of its own.

Every request here asks `progress.next_step` first and goes there; a form of another step changes nothing.
Sources: RFC 6749 4.1 and 10.12 (CSRF), RFC 9700 4.1 and 4.16 (clickjacking), SMART App Launch 2.2.0
"Launch App: Standalone" (patient and encounter picker), OpenID Connect Core 3.1.2.4 and 3.1.2.6.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from smart_auth import authorize, browser, consent, directory, launch, pages, users, web, wording
from smart_auth.authorize import RedirectError
from smart_auth.clients import allows_redirect
from smart_auth.directory import Looker
from smart_auth.errors import CrossSiteError, PageError
from smart_auth.models import Client
from smart_auth.progress import Consented, Progress, Step, approve, may_be_another, next_step, offered
from smart_auth.service import SMARTAuth
from smart_auth.session import Session

# A scope string of full length (`scopes.MAX_TEXT`), each part with two switches and its categories.
MOST_SWITCHES = 2000
_SILENT = {"login": "login_required", "consent": "consent_required"}


@dataclass(frozen=True)
class _Kept:
    """A kept request as it stands, with the person of this browser."""

    id: str
    progress: Progress
    client: Client
    session: Session | None
    consented: Consented | None
    step: Step


async def continue_(auth: SMARTAuth, request: Request) -> Response:
    """Go on with a kept request after the login."""
    return await go_on(auth, request, request.query_params.get("request", ""))


async def go_on(auth: SMARTAuth, request: Request, request_id: str) -> Response:
    """To the next page of a request, or with a code to the app."""
    kept = await _load(auth, request, request_id)
    try:
        if kept.step == "launch":
            kept = await _take_launch(auth, request, kept)
        if kept.step == "code":
            return await _finish(auth, request, kept)
        if kept.progress.asked.silent:
            raise _refuse(kept, _SILENT.get(kept.step, "interaction_required"), "the person has to be asked")
    except RedirectError as error:
        await auth.store.take("request", request_id)
        return await redirect_error(auth, request, error)
    return web.redirect(f"/auth/{kept.step}?request={request_id}")


async def patient_page(auth: SMARTAuth, request: Request) -> Response:
    """Choose a patient."""
    kept = await _load(auth, request, request.query_params.get("request", ""))
    if kept.step != "patient" or kept.session is None:
        return await go_on(auth, request, kept.id)
    return await _patient_form(auth, request, kept, kept.session, {})


async def patient(auth: SMARTAuth, request: Request) -> Response:
    """Search for patients, choose one, or cancel. Names are sent by POST: an address ends in logs."""
    form, kept, session = await _form(auth, request, "patient")
    if session is None:
        return await go_on(auth, request, kept.id)
    if "cancel" in form:
        return await _denied(auth, request, kept)
    if "patient" in form:
        looker = auth.looker(session, web.address(auth, request))
        if await looker.patient(form["patient"]) is not None:
            await _save(auth, kept, kept.progress.choose(patient=form["patient"]))
            return await go_on(auth, request, kept.id)
    return await _patient_form(auth, request, kept, session, form)


async def encounter_page(auth: SMARTAuth, request: Request) -> Response:
    """Choose a visit of the chosen patient."""
    kept = await _load(auth, request, request.query_params.get("request", ""))
    if kept.step != "encounter" or kept.session is None:
        return await go_on(auth, request, kept.id)
    return await _encounter_form(auth, request, kept, kept.session, 0)


async def encounter(auth: SMARTAuth, request: Request) -> Response:
    """Choose a visit, go on without one, see more, or cancel."""
    form, kept, session = await _form(auth, request, "encounter")
    if session is None:
        return await go_on(auth, request, kept.id)
    if "cancel" in form:
        return await _denied(auth, request, kept)
    if "none" in form:
        await _save(auth, kept, kept.progress.choose(without_encounter=True))
        return await go_on(auth, request, kept.id)
    chosen = form.get("encounter", "")
    looker = auth.looker(session, web.address(auth, request))
    if chosen and await looker.encounter(kept.progress.patient or "", chosen) is not None:
        await _save(auth, kept, kept.progress.choose(encounter=chosen))
        return await go_on(auth, request, kept.id)
    return await _encounter_form(auth, request, kept, session, offset_of(form))


async def consent_page(auth: SMARTAuth, request: Request) -> Response:
    """What the app asks for, in words."""
    kept = await _load(auth, request, request.query_params.get("request", ""))
    if kept.step != "consent" or kept.session is None:
        return await go_on(auth, request, kept.id)
    offer = offered(kept.progress, kept.session, kept.client)
    if not offer.grants and not offer.words:
        return await redirect_error(
            auth, request, _refuse(kept, "invalid_scope", "nothing of it can be granted")
        )
    lang = pages.language_of(request)
    days = auth.settings.refresh_absolute_s // 86400
    looker = auth.looker(kept.session, web.address(auth, request))
    user = await auth.in_thread(users.get, auth.database, kept.session.user_id)
    return pages.render(
        request,
        "consent.html",
        form_target=kept.progress.asked.redirect_uri,
        app=kept.client.name,
        user=user.username if user is not None else "",
        role=kept.session.role,
        target=kept.progress.asked.redirect_uri,
        patient=await _patient_of(looker, kept.progress),
        encounter=await _encounter_of(looker, kept.progress),
        words=wording.words(offer, lang, days=days),
        of_patient=wording.groups(offer, "patient", lang),
        of_user=wording.groups(offer, "user", lang),
        each_time=may_be_another(kept.progress.asked, kept.client),
        csrf=kept.session.csrf,
        request_id=kept.id,
    )


async def consent_(auth: SMARTAuth, request: Request) -> Response:
    """Allow what is left switched on, or deny."""
    fields = await web.pairs(request, most=MOST_SWITCHES)
    form, kept, session = await _form(auth, request, "consent", fields)
    if session is None:
        return await go_on(auth, request, kept.id)
    offer = offered(kept.progress, session, kept.client)
    values = [value for name, value in fields if name == "scope"]
    scope = consent.chosen(offer, values, [value for name, value in fields if name == "only"])
    if "allow" not in form or not (scope.grants or "openid" in scope.words):
        return await _denied(auth, request, kept)
    await auth.in_thread(consent.remember, auth.database, session.user_id, kept.client.id, offer, scope)
    await auth.record(
        "consent",
        "success",
        session,
        client=kept.client.id,
        address=web.address(auth, request),
    )
    await _save(auth, kept, kept.progress.choose(allowed=str(scope)))
    return await go_on(auth, request, kept.id)


async def redirect_error(auth: SMARTAuth, request: Request, error: RedirectError) -> Response:
    """Tell the app by redirect, and the trail."""
    address = web.address(auth, request)
    await auth.record("authorize", "failure", client=error.client_id, address=address)
    answer: dict[str, Any] = {"error": error.error, "error_description": error.description}
    if error.state is not None:
        answer["state"] = error.state
    answer["iss"] = auth.settings.issuer
    return web.redirect(authorize.answer_uri(error.redirect_uri, answer))


def offset_of(form: dict[str, str]) -> int:
    """Where a page of a list begins."""
    text = form.get("offset", "0")
    return min(int(text), directory.MOST_OFFSET) if text.isascii() and text.isdigit() and len(text) < 6 else 0


async def _load(auth: SMARTAuth, request: Request, request_id: str) -> _Kept:
    value = await auth.store.get("request", request_id)
    if value is None:
        raise PageError("this request is over")
    progress = Progress.from_json(value)
    client = await auth.client(progress.asked.client_id)
    if client is None:
        raise PageError("the app is not registered")
    if not allows_redirect(client, progress.asked.redirect_uri):
        raise PageError("the redirect address is not registered for this app")
    session = await browser.login_session(auth, request)
    consented = None
    if session is not None:
        progress = progress.within(session)
        consented = await auth.in_thread(consent.find, auth.database, session.user_id, client.id)
    step = next_step(progress, session, client, consented, int(time.time()))
    return _Kept(request_id, progress, client, session, consented, step)


async def _form(
    auth: SMARTAuth, request: Request, step: Step, fields: list[tuple[str, str]] | None = None
) -> tuple[dict[str, str], _Kept, Session | None]:
    """A form of a step: from our own page in this login. No session: it is another step's turn."""
    form = dict(fields if fields is not None else await web.pairs(request))
    kept = await _load(auth, request, form.get("request", ""))
    session = kept.session
    if session is not None and not browser.is_genuine(auth, request, session, form.get("csrf")):
        raise CrossSiteError
    return form, kept, session if kept.step == step else None


async def _save(auth: SMARTAuth, kept: _Kept, progress: Progress) -> None:
    if not await auth.store.replace("request", kept.id, progress.to_json()):
        raise PageError("this request is over")


async def _take_launch(auth: SMARTAuth, request: Request, kept: _Kept) -> _Kept:
    if kept.session is None or kept.progress.asked.launch is None:
        raise PageError("this request is over")
    address = web.address(auth, request)
    try:
        progress = await launch.take(auth.store, kept.progress.asked.launch, kept.progress, kept.session)
    except launch.LaunchError as error:
        again = await _load(auth, request, kept.id)
        if again.progress.launched:
            return again  # the same browser came twice at the same moment
        await auth.record("launch", "failure", kept.session, client=kept.client.id, address=address)
        raise _refuse(kept, "invalid_request", "the launch is not valid, or no longer") from error
    await auth.record("launch", "success", kept.session, client=kept.client.id, address=address)
    await _save(auth, kept, progress)
    return await _load(auth, request, kept.id)


async def _finish(auth: SMARTAuth, request: Request, kept: _Kept) -> Response:
    if kept.session is None or await auth.store.take("request", kept.id) is None:
        raise PageError("this request is over")
    approved = approve(kept.progress, kept.session, kept.client, kept.consented, int(time.time()))
    if approved is None:
        raise _refuse(kept, "invalid_scope", "nothing of it can be granted")
    code = await auth.grants.issue_code(approved, kept.client, kept.session)
    answer = {"code": code, "state": kept.progress.asked.state, "iss": auth.settings.issuer}
    return web.redirect(authorize.answer_uri(kept.progress.asked.redirect_uri, answer))


async def _denied(auth: SMARTAuth, request: Request, kept: _Kept) -> Response:
    if await auth.store.take("request", kept.id) is None:
        raise PageError("this request is over")
    await auth.record(
        "consent", "failure", kept.session, client=kept.client.id, address=web.address(auth, request)
    )
    return await redirect_error(auth, request, _refuse(kept, "access_denied", "the person said no"))


def _refuse(kept: _Kept, error: str, description: str) -> RedirectError:
    asked = kept.progress.asked
    return RedirectError(asked.client_id, asked.redirect_uri, asked.state, error, description)


async def _patient_form(
    auth: SMARTAuth, request: Request, kept: _Kept, session: Session, form: dict[str, str]
) -> Response:
    looker = auth.looker(session, web.address(auth, request))
    return pages.render(
        request,
        "patient.html",
        form_target=kept.progress.asked.redirect_uri,
        app=kept.client.name,
        action="/auth/patient",
        csrf=session.csrf,
        request_id=kept.id,
        keep={"request": kept.id},
        **await search(looker, form),
    )


async def search(looker: Looker, form: dict[str, str]) -> dict[str, Any]:
    """What the patient form shows: what was typed, and who was found."""
    typed = {name: form.get(name, "").strip()[:100] for name in ("name", "mrn", "birthdate")}
    offset = offset_of(form)
    found = await looker.patients(typed["name"], typed["mrn"], typed["birthdate"], offset)
    return {
        "typed": typed,
        "searched": any(typed.values()),
        "found": [directory.patient_line(resource) for resource in found.resources],
        "before": max(0, offset - directory.PAGE) if offset else None,
        "after": offset + directory.PAGE if found.has_more else None,
    }


async def _encounter_form(
    auth: SMARTAuth, request: Request, kept: _Kept, session: Session, offset: int
) -> Response:
    looker = auth.looker(session, web.address(auth, request))
    found = await looker.encounters(kept.progress.patient or "", offset)
    return pages.render(
        request,
        "encounter.html",
        form_target=kept.progress.asked.redirect_uri,
        app=kept.client.name,
        patient=await _patient_of(looker, kept.progress),
        found=[directory.encounter_line(resource) for resource in found.resources],
        before=max(0, offset - directory.PAGE) if offset else None,
        after=offset + directory.PAGE if found.has_more else None,
        csrf=session.csrf,
        request_id=kept.id,
        keep={"request": kept.id},
    )


async def _patient_of(looker: Looker, progress: Progress) -> directory.PatientLine | None:
    found = await looker.patient(progress.patient) if progress.patient is not None else None
    return directory.patient_line(found) if found is not None else None


async def _encounter_of(looker: Looker, progress: Progress) -> directory.EncounterLine | None:
    if progress.patient is None or progress.encounter is None:
        return None
    found = await looker.encounter(progress.patient, progress.encounter)
    return directory.encounter_line(found) if found is not None else None
