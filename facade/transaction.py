"""A transaction: every entry read, decided and checked, then all writes in one transaction of the store.

Nothing of it is changed before everything has been checked, and HAPI carries it out whole or not at all.
What an entry makes has a made-up id while the others are checked, so that references between entries
(`urn:uuid:…`) keep every rule of references that stand alone. Deletes come first, then creates, updates and
patches; reads are answered from what is stored afterwards.
Sources: FHIR R4 http.html#transaction (processing rules), bundle.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from facade import access, answer, bundle, changes, names, references, rules, writing
from facade.batch import refused, shown
from facade.bundle import Entry, placed
from facade.changes import Change, translated
from facade.dispatch import respond
from facade.errors import (
    BadRequestError,
    ConflictError,
    DependencyError,
    FacadeError,
    HAPIPermanentError,
    NotFoundError,
)
from facade.gate import Gate
from facade.idempotency import Idempotency
from facade.matching import matching
from facade.preconditions import Preconditions, version_seen
from smart_auth.interaction import Interaction

Resource = dict[str, Any]
_WRITES = ("delete", "create", "update", "patch")
_LOCATION = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})/_history/([0-9]{1,10})\Z", re.ASCII)


@dataclass
class Write:
    """One entry that writes: first what it is about, then the checked change."""

    entry: Entry
    interaction: Interaction
    version: str | None
    reference: str
    """`Type/id`; the id of what is made is made up."""
    tag: str | None = None
    change: Change | None = None

    @property
    def is_create(self) -> bool:
        """Whether it makes a resource."""
        return self.interaction.kind == "create"


async def transaction(gate: Gate, body: Mapping[str, Any], sent: Preconditions) -> Response:
    """Carry out all entries, or none."""
    settings = gate.services.settings
    memory = None
    if sent.idempotency_key is not None:
        memory = Idempotency(
            gate.services.redis, gate.principal, "Bundle", sent.idempotency_key, body, settings.idempotency_s
        )
    entries = _read(gate, body, sent)
    reads = [entry for entry in entries if entry.asked.interaction.kind not in _WRITES]
    earlier = await memory.begin() if memory is not None else None
    if earlier is not None:
        answered = await _replayed(gate, entries, orjson.loads(earlier))
        return await _answer(gate, entries, reads, answered)
    try:
        writes = await _writes(gate, entries, memory.tag if memory else None)
        await _check_reads(gate, reads, writes)
        answered = await _carry_out(gate, writes, sent.prefer)
    except FacadeError as error:
        if memory is not None and not error.temporary:
            await memory.forget()
        raise
    if memory is not None:
        kept = {str(index): found["response"] for index, found in answered.items()}
        # Without Redis a retry finds what was made by the key's tag.
        with contextlib.suppress(DependencyError):
            await memory.done(orjson.dumps(kept).decode())
    return await _answer(gate, entries, reads, answered)


def _read(gate: Gate, body: Mapping[str, Any], sent: Preconditions) -> list[Entry]:
    settings = gate.services.settings
    found = []
    for index, raw in enumerate(bundle.raw_entries(body, settings.bundle_entries)):
        try:
            found.append(
                bundle.read(
                    raw, index, base_url=settings.base_url, page_max=settings.page_max, preconditions=sent
                )
            )
        except FacadeError as error:
            raise placed(error, index) from None
    return found


async def _writes(gate: Gate, entries: Sequence[Entry], tag: str | None) -> list[Write]:
    """Return the writes, checked, in the order in which they are carried out."""
    found = []
    for entry in entries:
        if entry.asked.interaction.kind in _WRITES:
            try:
                found.append(await _located(gate, entry, f"{tag}-{entry.index}" if tag else None))
            except FacadeError as error:
                raise placed(error, entry.index) from None
    _check_overlap(found)
    made = {w.entry.full_url: w.reference for w in found if bundle.is_urn(w.entry.full_url)}
    for write in found:
        _point(write.entry.body, made)
        if write.is_create and write.entry.body is not None:
            type_, _, id_ = write.reference.partition("/")
            gate.assume(type_, id_, {**write.entry.body, "id": id_})
    found.sort(key=lambda write: _WRITES.index(write.interaction.kind))
    for write in found:
        try:
            write.change = await _checked(gate, write)
        except FacadeError as error:
            raise placed(error, write.entry.index) from None
    mrns = [mrn for write in found if (mrn := _mrn(write)) is not None]
    if len(set(mrns)) < len(mrns):
        raise ConflictError("two patients with one MRN", expression="Bundle.entry")
    conditions = [w.change.condition for w in found if w.change and w.change.condition and not w.change.found]
    if len(set(conditions)) < len(conditions):
        raise BadRequestError(
            "two entries make a resource under the same condition", expression="Bundle.entry"
        )
    return found


async def _located(gate: Gate, entry: Entry, tag: str | None) -> Write:
    """Say which resource an entry is about, before any reference is looked at."""
    interaction = entry.asked.interaction
    gate.decide(interaction)
    body = entry.body if interaction.kind in ("create", "update") else None
    version = version_seen(entry.conditions.if_match, body)
    if interaction.kind != "create":
        if not interaction.parameters:
            return Write(entry, interaction, version, f"{interaction.type}/{interaction.id}")
        found = await changes.located(gate, interaction, version)
        if found is not None:
            by_id, seen = found
            if body is not None:
                body.setdefault("id", by_id.id)
            return Write(entry, by_id, seen, f"{by_id.type}/{by_id.id}")
        if interaction.kind != "update" or version is not None:
            raise NotFoundError()
        if body is not None and "id" in body:
            raise BadRequestError("clients do not choose ids")
        interaction = Interaction("create", interaction.type, parameters=interaction.parameters)
        gate.decide(interaction)
    stored = await _stored(gate, interaction, await entry.resource(str(interaction.type)))
    reference = f"{interaction.type}/{stored['id'] if stored else uuid.uuid4()}"
    return Write(entry, interaction, None, reference, tag)


async def _stored(gate: Gate, interaction: Interaction, body: Resource) -> Resource | None:
    """Return what a conditional create (or a Patient's MRN) finds already there."""
    type_ = str(interaction.type)
    found = await matching(gate, type_, interaction.parameters) if interaction.parameters else None
    mrn = rules.mrn(body) if type_ == "Patient" and found is None else None
    if mrn is not None:
        page = await gate.hapi.search(
            type_, [("identifier", f"{names.MRN}|{changes.checked_mrn(mrn)}")], count=2
        )
        entries = page.get("entry", [])
        if entries and (found := await gate.visible(type_, entries[0]["resource"]["id"])) is None:
            raise ConflictError()
    return found


def _mrn(write: Write) -> str | None:
    body = write.change.body if write.change and write.change.found is None else None
    return rules.mrn(body) if body is not None and body["resourceType"] == "Patient" else None


def _check_overlap(writes: Sequence[Write]) -> None:
    """Each resource is written by one entry, and each fullUrl stands for one."""
    touched = [write.reference for write in writes if not write.is_create]
    urls = [write.entry.full_url for write in writes if bundle.is_urn(write.entry.full_url)]
    if len(set(touched)) < len(touched) or len(set(urls)) < len(urls):
        raise BadRequestError("two entries are about the same resource", expression="Bundle.entry")


def _point(body: Resource | None, made: Mapping[str | None, str], *, back: bool = False) -> None:
    """Write references between entries as `Type/id`, or back as `urn:uuid:id` for the store."""
    for _, reference in references.walk(body or {}, ""):
        target = made.get(reference["reference"])
        if target is not None:
            reference["reference"] = f"urn:uuid:{target.partition('/')[2]}" if back else target


async def _checked(gate: Gate, write: Write) -> Change:
    interaction, entry = write.interaction, write.entry
    decision = gate.decide(interaction)
    match interaction.kind:
        case "delete":
            return await changes.delete(gate, decision, interaction, write.version)
        case "patch":
            return await changes.patch(gate, decision, interaction, await entry.patch(), write.version)
        case "update":
            body = await entry.resource(str(interaction.type))
            return await changes.update(gate, decision, interaction, body, write.version)
    body = await entry.resource(str(interaction.type))
    change = await changes.create(gate, decision, interaction, body, write.tag)
    stored = await _stored(gate, interaction, body)
    if stored is not None:
        if write.reference != f"{interaction.type}/{stored['id']}":
            raise ConflictError()  # it was made while this was being checked
        change.found = stored
    elif change.found is not None:
        raise ConflictError()
    return change


async def _check_reads(gate: Gate, reads: Sequence[Entry], writes: Sequence[Write]) -> None:
    """Refuse the whole for a read that cannot succeed."""
    deleted = {write.reference for write in writes if write.interaction.kind == "delete"}
    for entry in reads:
        interaction = entry.asked.interaction
        try:
            decision = gate.decide(interaction)
            if interaction.id is not None:
                if f"{interaction.type}/{interaction.id}" in deleted:
                    raise BadRequestError("what is deleted here is read here")
                await gate.fresh().read(decision, str(interaction.type), interaction.id)
        except FacadeError as error:
            raise placed(error, entry.index) from None


async def _carry_out(gate: Gate, writes: Sequence[Write], prefer: str | None) -> dict[int, Resource]:
    """Store everything in one transaction; returns the answer of each entry."""
    pending = [write for write in writes if write.change is not None and write.change.found is None]
    made: dict[str | None, str] = {w.reference: w.reference for w in pending if w.is_create}
    for write in pending:
        _point(write.change.body if write.change else None, made, back=True)
    await asyncio.gather(
        *(
            writing.record(gate.entry(write.entry.index, write.entry.sent), write.change, phase="intent")
            for write in writes
            if write.change
        )
    )
    stored: Mapping[str, Any] = {}
    if pending:
        sent = {"resourceType": "Bundle", "type": "transaction", "entry": [_sent(write) for write in pending]}
        try:
            stored = await gate.hapi.transaction(sent)
        except HAPIPermanentError as error:
            raise translated(error) from None
    answers = dict(zip((w.entry.index for w in pending), stored.get("entry", []), strict=True))
    found = {
        write.entry.index: _answered(gate, write, answers.get(write.entry.index), prefer) for write in writes
    }
    await asyncio.gather(*(_record(gate, write, found[write.entry.index]) for write in writes))
    return found


def _sent(write: Write) -> Resource:
    """Return the entry for the store, built from checked values only."""
    change, interaction = write.change, write.interaction
    assert change is not None  # noqa: S101 - every write was checked
    if interaction.kind == "delete":
        return {"request": {"method": "DELETE", "url": write.reference}}
    if write.is_create:
        request = {"method": "POST", "url": str(interaction.type)}
        if change.condition:
            request["ifNoneExist"] = change.condition
        full_url = f"urn:uuid:{write.reference.partition('/')[2]}"
        return {"fullUrl": full_url, "resource": change.body, "request": request}
    request = {"method": "PUT", "url": write.reference, "ifMatch": f'W/"{change.version}"'}
    return {"resource": change.body, "request": request}


def _answered(gate: Gate, write: Write, stored: Mapping[str, Any] | None, prefer: str | None) -> Resource:
    """Return the entry of the answer; HAPI's own words and addresses stay behind."""
    found = write.change.found if write.change else None
    if found is not None:
        version = str(found.get("meta", {}).get("versionId", "1"))
        return _entry(gate, "200", f"{found['resourceType']}/{found['id']}", version, None)
    response = (stored or {}).get("response", {})
    if write.interaction.kind == "delete":
        return {"response": {"status": "204"}}
    match = _LOCATION.search(str(response.get("location", "")))
    if match is None:
        raise HAPIPermanentError(500)
    status = str(response.get("status", ""))[:3]
    resource = (stored or {}).get("resource") if prefer == "representation" else None
    # A conditional create that lost a race found what somebody else made: it is named, not shown.
    is_own = status == "201" or not write.is_create
    return _entry(gate, status, f"{match[1]}/{match[2]}", match[3], resource if is_own else None)


def _entry(gate: Gate, status: str, reference: str, version: str, resource: Resource | None) -> Resource:
    location = f"{gate.services.settings.base_url}/fhir/{reference}/_history/{version}"
    entry: Resource = {"response": {"status": status, "location": location, "etag": f'W/"{version}"'}}
    if resource is not None:
        entry["resource"] = resource
        entry["response"]["lastModified"] = resource.get("meta", {}).get("lastUpdated")
    return entry


async def _record(gate: Gate, write: Write, found: Resource) -> None:
    change, match = write.change, _LOCATION.search(found["response"].get("location", ""))
    if change is None:
        return
    stored = None
    if match is not None:
        stored = {
            **(change.body or change.found or {}),
            "resourceType": match[1], "id": match[2], "meta": {"versionId": match[3]},
        }  # fmt: skip
    await writing.record(gate.entry(write.entry.index, write.entry.sent), change, stored)


async def _replayed(gate: Gate, entries: Sequence[Entry], earlier: Mapping[str, Any]) -> dict[int, Resource]:
    """Return what the first request with this key was answered, if it may still be seen."""
    for response in earlier.values():
        match = _LOCATION.search(response.get("location", ""))
        if match is not None and await gate.visible(match[1], match[2]) is None:
            raise NotFoundError()
    for entry in entries:
        if str(entry.index) in earlier:
            await gate.record(entry.asked.interaction, what=[str(entry.asked.interaction.type)])
    return {int(index): {"response": response} for index, response in earlier.items()}


async def _answer(
    gate: Gate, entries: Sequence[Entry], reads: Sequence[Entry], answered: Mapping[int, Resource]
) -> Response:
    """Answer the reads from what is stored now, and put everything into the order of the request.

    The writes are done: a read that fails now says so in its own entry.
    """
    found = dict(answered)
    for entry in reads:
        fresh = gate.entry(entry.index, entry.sent)
        try:
            async with access.audited(fresh, entry.asked.interaction):
                found[entry.index] = shown(await respond(fresh, entry.asked, entry))
        except FacadeError as error:
            found[entry.index] = refused(error)
    body = {"resourceType": "Bundle", "type": "transaction-response"}
    return answer.bundle({**body, "entry": [found[entry.index] for entry in entries]})
