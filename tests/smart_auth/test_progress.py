"""The steps of an authorization request: none can be skipped, and what was chosen counts for one login."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from smart_auth import scopes
from smart_auth.authorize import AuthorizationRequest
from smart_auth.models import Client
from smart_auth.progress import Consented, Progress, approve, next_step
from smart_auth.session import Session

NOW = 1_800_000_000
EVERYTHING = "openid launch launch/patient launch/encounter offline_access patient/*.rs user/*.rs"
SESSION = Session("s1", "u1", "doctor", "Practitioner/d1", None, 0, NOW - 60, NOW + 600, "c", "v", "l")


def client(*, trusted: bool = False, scope: str = EVERYTHING) -> Client:
    return Client(id="app", name="App", kind="public", scope=scope, trusted=trusted, status="active")


def asked(scope: str, **more: Any) -> AuthorizationRequest:
    return AuthorizationRequest("app", "https://app.example/cb", scope, "state", "challenge", **more)


def consented(text: str) -> Consented:
    return Consented(scopes.parse(text), scopes.parse(text))


def test_the_steps_come_in_their_order() -> None:
    progress = Progress(asked("launch/encounter patient/*.rs", launch="x"), None, NOW)
    progress = replace(progress, asked=replace(progress.asked, scope=f"launch {progress.asked.scope}"))
    app = client()
    assert next_step(progress, None, app, None, NOW) == "login"
    progress = progress.within(SESSION)
    assert next_step(progress, SESSION, app, None, NOW) == "launch"
    progress = progress.choose(launched=True)
    assert next_step(progress, SESSION, app, None, NOW) == "patient"
    progress = progress.choose(patient="p1")
    assert next_step(progress, SESSION, app, None, NOW) == "encounter"
    progress = progress.choose(encounter="e1")
    assert next_step(progress, SESSION, app, None, NOW) == "consent"
    progress = progress.choose(allowed="launch/encounter patient/Observation.rs")
    assert next_step(progress, SESSION, app, None, NOW) == "code"
    approved = approve(progress, SESSION, app, None, NOW)
    assert approved is not None
    assert (approved.patient, approved.encounter) == ("p1", "e1")
    assert str(approved.granted) == "launch/encounter patient/Observation.rs"


# Every subset of what can have been done, for every kind of request.
DONE = {
    "login": {"sid": "s1"},
    "launch": {"launched": True},
    "patient": {"patient": "p1"},
    "encounter": {"encounter": "e1"},
    "consent": {"allowed": "user/Patient.rs"},
}
SCOPES = {
    "user/*.rs": {"login", "consent"},
    "patient/*.rs user/*.rs": {"login", "patient", "consent"},
    "launch/patient user/*.rs": {"login", "patient", "consent"},
    "launch/encounter user/*.rs": {"login", "patient", "encounter", "consent"},
}


@pytest.mark.parametrize("is_launch", [False, True])
@pytest.mark.parametrize("scope", SCOPES)
def test_no_code_without_every_step(scope: str, is_launch: bool) -> None:
    needed = SCOPES[scope] | ({"launch"} if is_launch else set())
    request = asked(f"{scope} launch" if is_launch else scope, launch="x" if is_launch else None)
    for done in itertools.chain.from_iterable(itertools.combinations(DONE, n) for n in range(len(DONE) + 1)):
        changes: dict[str, Any] = {}
        for step in done:
            changes |= DONE[step]
        progress = replace(Progress(request, None, NOW), **changes)
        approved = approve(progress, SESSION, client(), None, NOW)
        assert (approved is not None) == (needed <= set(done)), (done, needed)


def test_another_login_begins_again() -> None:
    progress = Progress(asked("launch/patient patient/*.rs"), None, NOW).within(SESSION)
    progress = progress.choose(patient="p1").choose(allowed="launch/patient patient/*.rs")
    other = replace(SESSION, sid="s2", user_id="u2")
    assert approve(progress, other, client(), None, NOW) is None
    assert progress.within(other).patient is None
    assert progress.within(other).allowed is None
    assert progress.within(SESSION) == progress


def test_another_patient_takes_encounter_and_consent_back() -> None:
    progress = Progress(asked("launch/encounter"), None, NOW).within(SESSION)
    progress = progress.choose(patient="p1").choose(encounter="e1").choose(allowed="launch/encounter")
    assert progress.choose(patient="p2").encounter is None
    assert progress.choose(patient="p2").allowed is None


def test_a_remembered_answer_is_enough_until_the_app_asks_for_more() -> None:
    progress = Progress(asked("openid user/Patient.rs user/Observation.rs"), None, NOW).within(SESSION)
    answer = Consented(
        scopes.parse("openid user/Patient.rs user/Observation.rs"), scopes.parse("openid user/Patient.rs")
    )
    approved = approve(progress, SESSION, client(), answer, NOW)
    assert approved is not None
    assert str(approved.granted) == "openid user/Patient.rs"
    less = Consented(scopes.parse("openid user/Patient.rs"), scopes.parse("openid user/Patient.rs"))
    assert next_step(progress, SESSION, client(), less, NOW) == "consent"
    again = replace(progress, asked=replace(progress.asked, consent_again=True))
    assert next_step(again, SESSION, client(), answer, NOW) == "consent"


def test_a_trusted_app_skips_consent_and_nothing_else() -> None:
    progress = Progress(asked("launch/patient user/*.rs"), None, NOW).within(SESSION)
    assert next_step(progress, SESSION, client(trusted=True), None, NOW) == "patient"
    progress = progress.choose(patient="p1")
    assert next_step(progress, SESSION, client(trusted=True), None, NOW) == "code"


def test_what_was_allowed_never_goes_beyond_registration_role_and_question() -> None:
    progress = Progress(asked("user/Patient.rs user/AuditEvent.rs"), None, NOW).within(SESSION)
    progress = progress.choose(allowed="user/*.cruds system/*.cruds")
    assert approve(progress, SESSION, client(), None, NOW) is None
    answer = consented("user/*.cruds openid patient/*.cruds")
    approved = approve(progress.choose(allowed=None), SESSION, client(), answer, NOW)
    assert approved is not None
    assert str(approved.granted) == "user/Patient.rs"


def test_a_patient_is_their_own_context_and_stays_bound_to_it() -> None:
    own = replace(SESSION, role="patient", fhir_user="Patient/own")
    progress = Progress(asked("user/Patient.rs"), None, NOW).within(own)
    approved = approve(progress, own, client(trusted=True), None, NOW)
    assert approved is not None
    assert approved.patient == "own"


def test_context_that_was_switched_off_is_not_told() -> None:
    request = asked("launch launch/encounter openid user/Patient.rs", launch="x")
    progress = Progress(request, None, NOW).within(SESSION)
    progress = progress.choose(
        launched=True, patient="p1", encounter="e1", context={"need_patient_banner": True}
    ).choose(allowed="openid user/Patient.rs")
    approved = approve(progress, SESSION, client(), None, NOW)
    assert approved is not None
    assert (approved.patient, approved.encounter, approved.context) == (None, None, {})


def test_the_state_survives_the_store() -> None:
    progress = Progress(asked("openid", launch="x", max_age=5), "s0", NOW).within(SESSION)
    assert Progress.from_json(progress.to_json()) == progress
