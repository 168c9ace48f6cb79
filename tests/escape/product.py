"""The suite against a running installation on this machine: people and patients of its own, by public ways.

Logins, their invitations, apps and sign-ins go through the public address and the operator's command. Records
go straight into the record store, because no public way lets a stranger write final reports, studies, drafts.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from uuid import uuid4

from demo.app import App, SignInError, new_browser
from demo.people import first_administrator, neuronova, password, register_app, submit
from demo.run import REDIRECT_URI, Run
from deploy.environment import hapi_url
from deploy.settings import ROOT, Settings
from facade.hapi import HAPIClient
from tests.escape.inside import writer_to
from tests.escape.outside import OutsideDoor
from tests.escape.record import Resource
from tests.escape.suite import Caller, Suite
from tests.escape.worlds import Case, NotStorableError, Writer, build

_SCOPE = "openid fhirUser launch/patient patient/*.cruds user/*.cruds"
_SECRETS = ("hapi-facade", "hapi-workers")


@dataclass
class People:
    """Logins of one run of the suite, and the app that they sign in to."""

    run: Run
    client_id: str
    made: list[str] = field(default_factory=list)

    def token(self, role: str, scope: str, **more: str) -> dict[str, str]:
        """Invite somebody, let them choose a password and sign in."""
        username, secret = f"escape-{role}-{uuid4().hex[:8]}", password()
        body = {"username": username, "role": role, **more}
        answer = self.run.as_("admin").in_browser("POST", "/auth/admin/users", json=body)
        answer.raise_for_status()
        self.made.append(username)
        with new_browser(follow_redirects=True) as browser:
            page = browser.get(answer.json()["invitation"])
            submit(browser, page, self.run.base_url, password=secret, password_again=secret)
        app = App(self.run.base_url, self.client_id, REDIRECT_URI, scope)
        return app.sign_in(username, secret).bearer


@asynccontextmanager
async def suite(settings: Settings) -> AsyncIterator[tuple[Suite, list[str]]]:
    """The suite, and what could not be asked; everybody it made is disabled in the end."""
    run = Run.load(settings.base_url, settings.var, ROOT)
    register_app(run)
    first_administrator(run)
    run.save()
    async with AsyncExitStack() as held:
        clients = {
            name: await held.enter_async_context(
                HAPIClient(hapi_url(settings), (settings.var / "secrets" / name).read_text().strip())
            )
            for name in _SECRETS
        }
        writer = _unaudited(writer_to(clients))
        cases = await build(writer, drafts_in_both=False), await build(writer, drafts_in_both=True)
        with _people(run) as people:
            callers, missing = _callers(people, *cases)
            yield Suite(OutsideDoor(settings.base_url), callers, origin=settings.base_url), missing
        for stored in (one for case in cases for one in case.stored if one["resourceType"] == "Group"):
            await clients["hapi-facade"].delete("Group", stored["id"])


@contextmanager
def _people(run: Run) -> Iterator[People]:
    printed = neuronova(
        run, "clients", "register", "--name", "Escape suite", "--redirect-uri", REDIRECT_URI,
        "--scope", _SCOPE, "--trusted", "--json",
    )  # fmt: skip
    people = People(run, json.loads(printed)["client_id"])
    try:
        yield people
    finally:
        for username in people.made:
            neuronova(run, "users", "disable", username)
        neuronova(run, "clients", "disable", people.client_id)


def _unaudited(writer: Writer) -> Writer:
    """The trail has one writer, and that is not this suite."""

    async def create(resource: Resource) -> Resource:
        if resource["resourceType"] == "AuditEvent":
            raise NotStorableError("AuditEvent")
        return await writer.create(resource)

    return replace(writer, create=create)


def _callers(people: People, hidden: Case, staff: Case) -> tuple[dict[str, Caller], list[str]]:
    """A token of each kind, by a login of its own; and the kinds that this installation gives nobody."""

    def patient(names: Mapping[str, str], scope: str) -> dict[str, str]:
        return people.token("patient", scope, fhirUser=f"Patient/{names['own.patient']}")

    def hospital(names: Mapping[str, str]) -> dict[str, str]:
        return people.token("external", "openid user/*.cruds", organization=names["hospital.organization"])

    worlds = (hidden.world, hidden.twin)
    doctor = f"Practitioner/{staff.world['own.practitioner']}"
    narrow = people.token("doctor", "openid user/Observation.rs?category=laboratory", fhirUser=doctor)
    callers = {
        "patient": Caller(
            hidden, *(patient(names, "openid launch/patient patient/*.rs") for names in worlds)
        ),
        "external": Caller(hidden, *(hospital(names) for names in worlds)),
        "narrow": Caller(staff, narrow, narrow, sees_laboratory=True),
        "nobody": Caller(hidden, {}, {}),
    }
    try:
        unscoped = [patient(names, "openid fhirUser") for names in worlds]
    except SignInError as error:
        return callers, ["bound (a person has to pick the patient)", f"unscoped ({error})"]
    return {**callers, "unscoped": Caller(hidden, *unscoped)}, ["bound (a person has to pick the patient)"]
