"""The shipper's way into HAPI: references settled, events sealed, batches sent so that a repeat changes
nothing.

An event's id comes from its sequence number and HAPI takes the same content under the same id again as a
no-op (200, same version) but other content not at all (403). A reference is literal only where its target
exists just before sealing; anything else is kept as a logical reference (`identifier`), because HAPI is not
to hold links to nothing and a refused read of an id that never existed must not stop the trail.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from facade.audit.chain import Signer, digest_of, seal, seal_of
from facade.audit.errors import ChainStateError
from facade.audit.event import REFERENCE, Who, audit_event, request_id_of
from facade.audit.names import NEURONOVA_REFERENCE
from facade.audit.state import Batch, Head
from facade.errors import HAPIPermanentError, HAPITemporaryError
from facade.hapi import HAPIClient, error_of

log = logging.getLogger(__name__)

_KNOWN_MOST: Final = 20_000
_CONTENT_ERRORS: Final = (400, 413, 422)  # another status is about the shipper or the moment
_SAME_500: Final = 4  # times in a row before a 500 is taken as HAPI's trouble with this content


def seal_all(events: list[dict[str, Any]], head: Head, signer: Signer) -> tuple[list[dict[str, Any]], Head]:
    """The events sealed in order after `head`, and the head they lead to (cursors unchanged)."""
    sealed = []
    sequence, previous = head.sequence, head.hash
    for event in events:
        sequence += 1
        one, previous = seal(event, sequence, previous, signer)
        sealed.append(one)
    return sealed, Head(sequence, previous, head.cursors)


def logical(reference: dict[str, Any]) -> None:
    """Turn a literal reference into a logical one, in place."""
    target = reference.pop("reference", None)
    if target is not None:
        reference["type"] = str(target).split("/", 1)[0]
        reference["identifier"] = {"system": NEURONOVA_REFERENCE, "value": target}


def references(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every Reference of an event that may be literal."""
    for agent in event.get("agent", []):
        if "reference" in agent.get("who", {}):
            yield agent["who"]
    for entity in event.get("entity", []):
        if "reference" in entity.get("what", {}):
            yield entity["what"]


class Trail:
    """Writes sealed events to HAPI, one caller at a time."""

    def __init__(
        self,
        hapi: HAPIClient,
        signer: Signer,
        save_batch: Callable[[Batch], None],
        keep_refused: Callable[[dict[str, Any]], None],
    ) -> None:
        """`save_batch` makes a batch durable, again when a refused event has to change; `keep_refused` keeps
        what HAPI cannot store."""
        self._hapi = hapi
        self._signer = signer
        self._save_batch = save_batch
        self._keep_refused = keep_refused
        self._known: set[str] = set()
        self._same_500 = 0

    async def settle(self, events: list[dict[str, Any]]) -> None:
        """Make references logical whose target does not exist, in place."""
        wanted = {ref["reference"] for event in events for ref in references(event)}
        missing = {target for target in wanted if not REFERENCE.match(target)}
        asked = sorted({_bare(target) for target in wanted - missing} - self._known)
        for start in range(0, len(asked), 100):
            await self._look(asked[start : start + 100])
        for event in events:
            for ref in references(event):
                target = ref["reference"]
                if target in missing or _bare(target) not in self._known:
                    logical(ref)

    async def _look(self, targets: list[str]) -> None:
        """Remember which of `targets` exist. What existed once may be named: deletes do not block the
        trail.
        """
        if len(self._known) > _KNOWN_MOST:
            self._known.clear()
        entries = [{"request": {"method": "GET", "url": f"{target}?_elements=id"}} for target in targets]
        answer = await self._hapi.send(
            "POST", "", json={"resourceType": "Bundle", "type": "batch", "entry": entries}
        )
        if (error := error_of(answer)) is not None:
            raise error
        found = orjson.loads(answer.content).get("entry", [])
        if len(found) != len(targets):
            raise HAPITemporaryError("HAPI answered another number of entries than it was asked")
        for target, entry in zip(targets, found, strict=True):
            if str(entry.get("response", {}).get("status", "")).startswith("200"):
                self._known.add(target)

    async def exists(self) -> bool:
        """Whether HAPI holds an event, whichever: the first ones may have been kept long enough."""
        bundle = await self._hapi.search("AuditEvent", [("_elements", "id")], count=1)
        return bool(bundle.get("entry"))

    async def stored(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """The stored events among `ids`, by id."""
        bundle = await self._hapi.search("AuditEvent", [("_id", ",".join(ids))], count=len(ids))
        entries = [entry["resource"] for entry in bundle.get("entry", []) if "resource" in entry]
        return {resource["id"]: resource for resource in entries}

    async def send(self, batch: Batch) -> Batch:
        """Bring a batch into HAPI, whatever part of it is there already; the batch as it was stored.

        Raises HAPITemporaryError when trying again later can help, ChainStateError when HAPI holds other
        events under these numbers.
        """
        entries = [_entry(event) for event in batch.events]
        answer = await self._put_all(entries)
        if answer is None:
            return batch
        if answer.status not in _CONTENT_ERRORS:
            await self._refused(batch, answer)
        log.warning(
            "HAPI refuses a batch; its events are sent one by one",
            extra={"first": batch.events[0]["id"], "status": answer.status, "hapi": answer.hapi_code},
        )
        return await self._send_singly(batch)

    async def _put_all(self, entries: list[dict[str, Any]]) -> HAPIPermanentError | None:
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        try:
            answer = await self._hapi.send("POST", "", json=bundle, headers={"Prefer": "return=minimal"})
        except HAPITemporaryError as error:
            if error.status == 500:
                self._same_500 += 1
                if self._same_500 >= _SAME_500:
                    self._same_500 = 0
                    return HAPIPermanentError(400, None)
            raise
        self._same_500 = 0
        return error_of(answer)

    async def _send_singly(self, batch: Batch) -> Batch:
        events = batch.events
        for index in range(len(events)):
            for replacement in (None, _without_links, self._bare_record):
                if replacement is not None:
                    # HAPI has nothing under this number, so the event may still change; what follows it has
                    # to be sealed again, and the new form is durable before it is sent.
                    changed = replacement(events[index])
                    before = Head(_number(events[index]) - 1, _previous(events[index]), batch.after.cursors)
                    resealed, after = seal_all([changed, *events[index + 1 :]], before, self._signer)
                    events = [*events[:index], *resealed]
                    batch = Batch(events, after)
                    self._save_batch(batch)
                refusal = await self._put_all([_entry(events[index])])
                if refusal is None:
                    break
                if refusal.status not in _CONTENT_ERRORS:
                    await self._refused(batch, refusal)
            else:
                raise HAPITemporaryError(f"HAPI refuses even the bare record {events[index]['id']}")
        return batch

    async def _refused(self, batch: Batch, refusal: HAPIPermanentError) -> None:
        """Tell a contradiction, which a person has to solve, from a wrong secret or address, which may
        pass.
        """
        stored = await self.stored([event["id"] for event in batch.events])
        for event in batch.events:
            other = stored.get(event["id"])
            if other is not None and digest_of(other) != digest_of(event):
                raise ChainStateError(f"HAPI holds another event as {event['id']}")
        raise HAPITemporaryError(f"HAPI refuses the shipper ({refusal.status})", status=refusal.status)

    def _bare_record(self, event: dict[str, Any]) -> dict[str, Any]:
        """What can always be stored: that there was a record, and the hash of its content, which is kept."""
        log.error("HAPI cannot store a record of the trail", extra={"event": event["id"]})
        self._keep_refused(event)
        return audit_event(
            interaction="alert",
            action="E",
            who=Who(None, "system"),
            outcome="8",
            reason="the store refused this record; its content is in the shipper's state folder",
            request_id=request_id_of(event) or "none",
            detail={"sha256": hashlib.sha256(orjson.dumps(event)).hexdigest()},
        )


def _without_links(event: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = orjson.loads(orjson.dumps(event))
    for reference in references(changed):
        logical(reference)
    return changed


def _entry(event: dict[str, Any]) -> dict[str, Any]:
    return {"resource": event, "request": {"method": "PUT", "url": f"AuditEvent/{event['id']}"}}


def _bare(target: str) -> str:
    return target.split("/_history/", 1)[0]


def _number(event: dict[str, Any]) -> int:
    return int(event["id"].removeprefix("ae-"))


def _previous(event: dict[str, Any]) -> str:
    said = seal_of(event)
    if said is None:
        raise ChainStateError(f"{event['id']} lost its seal")
    return said.previous
