"""Steps of the administrator: first login, hospital, staff, patients, modality."""

from __future__ import annotations

import re
import secrets
import subprocess
from typing import Any

import httpx

from demo import records
from demo.app import form_of, new_browser
from demo.run import REDIRECT_URI, SCOPE, Run, StepFailedError, require

STAFF = {"doctor": "doctor", "rib": "radiologist", "lab": "laboratory", "nurse": "nurse"}
"""Role -> username of the people that the demo registers beside the administrator."""

AE_TITLE = "DEMO_MR"


def neuronova(run: Run, *arguments: str) -> str:
    """What the operator's command prints; StepFailedError with its last lines when it fails."""
    command = [str(run.repository / ".venv/worker/bin/neuronova"), "--var", str(run.var), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise StepFailedError(f"neuronova {' '.join(arguments)}: {(done.stderr or done.stdout)[-400:]}")
    return done.stdout


def submit(browser: httpx.Client, page: httpx.Response, base_url: str, **values: str) -> httpx.Response:
    """Fill in the first form of a page and send it, as a browser would."""
    action, hidden = form_of(page)
    answer = browser.post(action, data=hidden | values, headers={"Origin": base_url})
    if answer.is_error:
        text = re.sub(r"<[^>]+>|\s+", " ", answer.text).strip()
        raise StepFailedError(f"{page.url.path} answered {answer.status_code}: {text[:200]}")
    return answer


def password() -> str:
    """A generated password of a demo login."""
    return secrets.token_urlsafe(18)


def register_app(run: Run) -> str:
    """The operator registers the demo's app, a public client with PKCE."""
    if "client_id" in run.facts:
        return f"client {run.facts['client_id']} (from an earlier run)"
    printed = neuronova(
        run, "clients", "register", "--name", "NeuroNova demo", "--redirect-uri", REDIRECT_URI,
        "--scope", SCOPE, "--trusted", "--json",
    )  # fmt: skip
    run.facts["client_id"] = httpx.Response(200, text=printed).json()["client_id"]
    return f"client {run.facts['client_id']}"


def first_administrator(run: Run) -> str:
    """The operator makes the one-time set-up code; the administrator uses it at /auth/setup."""
    people = run.facts["people"]
    if "admin" not in people:
        printed = neuronova(run, "users", "bootstrap", "--json")
        code = httpx.Response(200, text=printed).json()["code"]
        person = {"username": "administrator", "password": password()}
        with new_browser(follow_redirects=True) as browser:
            page = browser.get(f"{run.base_url}/auth/setup")
            submit(browser, page, run.base_url, code=code, password_again=person["password"], **person)
        people["admin"] = person
        run.save()  # the code is good once: nobody else would know this login
    session = run.as_("admin")
    granted = session.token["scope"].split()
    return f"{people['admin']['username']} signed in, {len(granted)} scopes granted"


def hospital(run: Run) -> str:
    """The administrator registers the own hospital and the modality that may send to it."""
    admin = run.as_("admin")
    organization = admin.create(
        records.hospital(),
        **{"If-None-Exist": f"identifier={records.PATIENT_IDENTIFIER_SYSTEM}|{records.MRN}"},
    )
    run.facts["organization"] = f"Organization/{organization['id']}"
    device = admin.create(
        records.modality(AE_TITLE, run.facts["organization"], "dicom://127.0.0.1:11112"),
        **{"If-None-Exist": f"identifier={records.AE_TITLE}|{AE_TITLE}"},
    )
    return f"Organization/{organization['id']}, modality {AE_TITLE} = Device/{device['id']}"


def _invite(run: Run, role: str, username: str, fhir_user: str | None, **more: Any) -> None:
    """The administrator makes a user; the person opens the one-time link and sets a password."""
    body = {"username": username, "role": role, "fhirUser": fhir_user, **more}
    answer = run.as_("admin").in_browser("POST", "/auth/admin/users", json=body)
    require(
        answer.status_code == 201, f"/auth/admin/users answered {answer.status_code}: {answer.text[:200]}"
    )
    secret = password()
    with new_browser(follow_redirects=True) as browser:
        page = browser.get(answer.json()["invitation"])
        submit(browser, page, run.base_url, password=secret, password_again=secret)
    run.facts["people"][role] = {"username": username, "password": secret, "fhirUser": fhir_user}


def staff(run: Run) -> str:
    """Doctor, radiologist, laboratory and nurse: a Practitioner and a login each."""
    admin, made = run.as_("admin"), []
    for number, (role, username) in enumerate(STAFF.items(), 1):
        if role in run.facts["people"]:
            continue
        practitioner = admin.create(records.practitioner(username, f"DEMO-{number:04d}"))
        _invite(run, role, username, f"Practitioner/{practitioner['id']}")
        made.append(f"{username} ({role})")
    return ", ".join(made) or "logins of an earlier run"


def patients(run: Run) -> str:
    """Three patients: two for the brain MR, one whose images come from files with their own PatientID."""
    admin, serial = run.as_("admin"), run.facts["serial"]
    first = records.patient(
        f"DEMO-{serial:03d}-1",
        "Demo",
        "Patient One",
        korean="시험^환자",
        gender="female",
        birthDate="1970-01-01",
    )
    second = records.patient(
        f"DEMO-{serial:03d}-2", "Demo", "Patient Two", gender="male", birthDate="1980-02-02"
    )
    for name, resource in (("patient", first), ("second", second)):
        run.facts[name] = f"Patient/{admin.create(resource)['id']}"
    mrn = first["identifier"][0]["value"]
    if "patient" not in run.facts["people"]:
        _invite(run, "patient", "patient", run.facts["patient"])
    if "external" not in run.facts["people"]:
        other = admin.create({"resourceType": "Organization", "active": True, "name": "Demo Other Hospital"})
        _invite(run, "external", "external", None, organization=other["id"])
    return f"{run.facts['patient']} (MRN {mrn}), {run.facts['second']}"


ALL = (register_app, first_administrator, hospital, staff, patients)
"""The steps that bring everybody in, in their order."""
