"""EHR launch: the context that a person chose, under an opaque name that is good once and for them alone.

The name is 256 random bits and lives for minutes in Redis. Whoever brings it uses it up, also when it is
refused: one that came to the wrong hands is no longer good in anybody's.
Source: SMART App Launch 2.2.0, "App Launch: EHR Launch" and "Scopes and Launch Context" (launch context
parameters; rules of fhirContext).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from smart_auth import scopes
from smart_auth.compartment import SUBJECTS, patient_of
from smart_auth.errors import RuleError
from smart_auth.models import Client
from smart_auth.progress import Progress
from smart_auth.session import Session
from smart_auth.store import Store

STYLE_PATH = "/auth/smart-style-1.json"
MOST_CONTEXT = 20
_INTENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", re.ASCII)
_REFERENCE = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})", re.ASCII)
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}", re.ASCII)
_CONTEXT_KEYS = frozenset({"reference", "canonical", "identifier", "type", "role"})

Read = Callable[[str, str], Awaitable[Mapping[str, Any] | None]]

# SMART App Launch 2.2.0, "smart_style_url"; the address changes when the content does.
STYLE: Mapping[str, str] = {
    "color_background": "#f4f6f8",
    "color_error": "#a3161f",
    "color_highlight": "#0b5a8a",
    "color_modal_backdrop": "rgba(22, 33, 46, 0.5)",
    "color_success": "#1d6b3c",
    "color_text": "#16212e",
    "dim_border_radius": "6px",
    "dim_font_size": "16px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}


@dataclass(frozen=True)
class Launch:
    """What one launch is bound to, and its context."""

    user_id: str
    sid: str
    client_id: str
    patient: str | None
    encounter: str | None
    context: Mapping[str, Any]


class LaunchError(Exception):
    """The launch is over, was used, or is somebody else's."""


def is_launchable(client: Client) -> bool:
    """Whether an app can be launched from here: it has a launch address and may ask for the context."""
    return client.launch_uri is not None and "launch" in scopes.parse(client.scope).words


def launch_address(client: Client, audience: str, launch_id: str) -> str:
    """Where the browser goes: the registered launch address with `iss` and `launch`."""
    uri = client.launch_uri or ""
    return f"{uri}{'&' if urlsplit(uri).query else '?'}{urlencode({'iss': audience, 'launch': launch_id})}"


async def create(store: Store, launch: Launch, *, lifetime_s: int) -> str:
    """Keep a launch; returns its opaque name."""
    return await store.put("launch", asdict(launch), lifetime_s=lifetime_s)


async def take(store: Store, launch_id: str, progress: Progress, session: Session) -> Progress:
    """Use a launch up: the request with its context, or LaunchError.

    The login that made it has to be the one here, or the one that was here when the app asked (an app may ask
    for the password again).
    """
    kept = await store.take("launch", launch_id)
    if kept is None:
        raise LaunchError("unknown, used or expired")
    launch = Launch(**kept)
    if launch.user_id != session.user_id or launch.sid not in (session.sid, progress.before):
        raise LaunchError("made by another login")
    if launch.client_id != progress.asked.client_id:
        raise LaunchError("made for another app")
    return progress.choose(
        launched=True,
        patient=launch.patient or progress.patient,
        encounter=launch.encounter,
        context=launch.context,
    )


async def checked_context(items: Any, patient: str | None, read: Read) -> list[dict[str, Any]]:
    """A fhirContext that keeps the standard's rules and names nothing that the person may not read.

    Patient and Encounter stand there only in another role than "launch". What is referenced has to be this
    patient's, or of a type that is nobody's.
    """
    if not isinstance(items, list) or len(items) > MOST_CONTEXT:
        raise RuleError("fhirContext is a list of at most 20 objects")
    return [await _checked_item(item, patient, read) for item in items]


def checked_intent(value: Any) -> str:
    """An intent: a short word that the app understands."""
    if not isinstance(value, str) or not _INTENT.fullmatch(value):
        raise RuleError("intent is a short word")
    return value


async def _checked_item(item: Any, patient: str | None, read: Read) -> dict[str, Any]:
    if not isinstance(item, Mapping) or not set(item) <= _CONTEXT_KEYS:
        raise RuleError("an entry of fhirContext has reference, canonical, identifier, type and role")
    if not set(item) & {"reference", "canonical", "identifier"}:
        raise RuleError("an entry of fhirContext has a reference, a canonical or an identifier")
    role = item.get("role", "launch")
    if not isinstance(role, str) or (role != "launch" and not urlsplit(role).scheme):
        raise RuleError("the role of an entry of fhirContext is launch or an absolute URI")
    type_ = item.get("type")
    if type_ is not None and not (isinstance(type_, str) and _TYPE.fullmatch(type_)):
        raise RuleError("the type of an entry of fhirContext is a FHIR type")
    if not isinstance(item.get("canonical", ""), str) or not isinstance(item.get("identifier", {}), Mapping):
        raise RuleError("canonical is a string and identifier an Identifier")
    if "reference" in item:
        match = _REFERENCE.fullmatch(str(item["reference"]))
        if match is None or type_ not in (None, match[1]):
            raise RuleError("a reference of fhirContext is relative and of its type")
        type_ = match[1]
        found = await read(type_, match[2])
        if found is None or (type_ in SUBJECTS and patient_of(found) != patient):
            raise RuleError("a reference of fhirContext names nothing of this patient")
    if type_ in ("Patient", "Encounter") and role == "launch":
        raise RuleError("patient and encounter have parameters of their own")
    return dict(item)
