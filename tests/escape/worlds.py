"""Two worlds that differ in one thing: in the first, the other patient is there; in the second, nobody is.

    first    own record  <->  the other patient's record        <foreign.x> is the other patient's x
    second   own record   ->  a stranger's record (apart)       <foreign.x> is an id that nobody has

`<other.x>` is for ids that the own record names: of the other patient in the first, of the stranger in the
second.

Both callers' own records are the same but for ids, so every difference between two answers is a leak.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from uuid import uuid4

from tests.escape import record
from tests.escape.oracle import Labels
from tests.escape.probe import fill
from tests.escape.record import Resource, Row

Names = dict[str, str]


class NotStorableError(Exception):
    """This server does not let us put that kind of resource there."""


@dataclass
class Writer:
    """How resources get into the store: create and update answer the stored resource, delete nothing."""

    create: Callable[[Resource], Awaitable[Resource]]
    update: Callable[[Resource], Awaitable[Resource]]
    delete: Callable[[Resource], Awaitable[None]]


@dataclass
class Case:
    """One caller's two worlds: what fills blanks, what must never be said, which text means the same."""

    world: Names
    twin: Names
    secrets: Names
    """Value -> label: what only somebody with other rights may know."""
    labels: Labels
    """For both worlds: what is put in place of ids before answers are compared."""
    stored: list[Resource] = field(default_factory=list)


@dataclass
class _Side:
    """One patient with a record."""

    names: Names
    stored: dict[str, Resource] = field(default_factory=dict)


async def build(writer: Writer, *, drafts_in_both: bool) -> Case:
    """Store four records and return the two worlds.

    `drafts_in_both`: for callers who may see drafts; for others a draft is one more thing to be hidden.
    """
    own, foreign, twin, stranger = (_Side(_values()) for _ in range(4))
    for side in (foreign, stranger):
        side.names |= {"born": "1931-07-31", "gender": "other"}
    pairs = ((own, foreign), (twin, stranger))
    await _each(_patient(writer, side) for side in (own, foreign, twin, stranger))
    await _each(
        _store(writer, side, record.clinical(False), cross)
        for side, cross in ((foreign, own), (stranger, stranger))
    )
    await _each(
        _store(writer, side, [*record.clinical(True), *record.entangled(), *record.seen()], cross)
        for side, cross in pairs
    )
    await _each(
        _store(writer, side, record.unreleased(), side)
        for side in (own, foreign, stranger, *((twin,) if drafts_in_both else ()))
    )
    await _each(
        _store(writer, side, record.late(), cross) for side, cross in ((foreign, own), (stranger, stranger))
    )
    for side, cross in ((foreign, own), (stranger, stranger)):
        await _turn(writer, side, cross)
    await _link(writer, own, foreign)
    await _link(writer, foreign, own)
    await _link(writer, twin, stranger)
    hospitals = [_Side(_values()), _Side(_values())]
    for hospital, (side, cross) in zip(hospitals, pairs, strict=True):
        made = await writer.create({"resourceType": "Organization", "name": f"Hospital {uuid4().hex}"})
        hospital.names["organization"] = made["id"]
        hospital.stored["organization"] = made
        blanks = _blanks(hospital=hospital.names, own=side.names, other=cross.names)
        for label, template in record.sharing():
            await _put(writer, hospital, label, fill(template, blanks))
    return _case(own, foreign, twin, stranger, hospitals, drafts_in_both=drafts_in_both)


def _values() -> Names:
    number = uuid4().int
    names = {
        name: f"{name[:1].upper()}{uuid4().hex[:14]}"
        for name in ("marker", "staff", "secret", "mrn", "accession")
    }
    names |= {"uid": f"1.2.{number}"[:50], "incomplete": f"1.3.{number}"[:50]}
    # The own records differ in nothing that a search could tell apart.
    return names | {"born": "1970-01-01", "gender": "female"}


async def _patient(writer: Writer, side: _Side) -> None:
    await _store(writer, side, record.directory(), side)
    await _put(writer, side, "patient", fill(record.person(), _blanks(self=side.names)))


async def _store(writer: Writer, side: _Side, rows: Iterable[Row], cross: _Side) -> None:
    for label, template in rows:
        try:
            resource = fill(template, _blanks(self=side.names, cross=cross.names))
        except LookupError:
            continue  # what it would refer to could not be stored on this server
        await _put(writer, side, label, resource)


async def _put(writer: Writer, side: _Side, label: str, resource: Resource) -> None:
    try:
        made = await writer.create(resource)
    except NotStorableError:
        return
    side.names[label] = made["id"]
    side.stored[label] = made


async def _turn(writer: Writer, side: _Side, cross: _Side) -> None:
    """An order that was the other patient's once, and one that is gone."""
    template = {**record.order("Patient/<cross.patient>", "Patient/<self.patient>")}
    made = await writer.create(fill(template, _blanks(self=side.names, cross=cross.names)))
    moved = {**made, "subject": {"reference": f"Patient/{side.names['patient']}"}}
    side.stored["moved"] = await writer.update(moved)
    side.names["moved"] = made["id"]
    template = record.order("Patient/<self.patient>", "Patient/<self.patient>")
    gone = await writer.create(fill(template, _blanks(self=side.names)))
    await writer.delete(gone)
    side.names["deleted"] = gone["id"]


async def _link(writer: Writer, side: _Side, cross: _Side) -> None:
    other = {"reference": f"Patient/{cross.names['patient']}"}
    stored = side.stored["patient"]
    side.stored["patient"] = await writer.update({**stored, "link": [{"other": other, "type": "seealso"}]})


async def _each(steps: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*steps)


def _blanks(**sides: Names) -> Names:
    return {f"{side}.{label}": value for side, names in sides.items() for label, value in names.items()}


def _case(
    own: _Side, foreign: _Side, twin: _Side, stranger: _Side, hospitals: list[_Side], *, drafts_in_both: bool
) -> Case:
    drafts = ("draft", "preliminary", "registered", "task", "origin", "secret", "incomplete")
    nowhere = {label: nobody(label, value) for label, value in foreign.names.items()}
    unsigned = {label: value for label, value in own.names.items() if label in drafts}
    none = {label: nobody(label, value) for label, value in unsigned.items()}
    twins = (
        {label: value for label, value in twin.names.items() if label in drafts} if drafts_in_both else none
    )
    constant = {"born", "gender"}
    secrets = {
        value: f"foreign.{label}"
        for side in (foreign, stranger)
        for label, value in side.names.items()
        if label not in record.KNOWN and label not in constant
    }
    secrets |= {value: f"own.{label}" for label, value in twin.names.items() if label not in constant}
    if not drafts_in_both:
        secrets |= {value: f"draft.{label}" for label, value in unsigned.items()}
    same = {
        value: f"({side}.{label})"
        for side, sources in {
            "own": (own.names, twin.names),
            "foreign": (foreign.names, stranger.names, nowhere),
            "draft": (unsigned, twins),
            "hospital": (hospitals[0].names, hospitals[1].names),
        }.items()
        for names in sources
        for label, value in names.items()
        if label not in constant
    }
    same |= {names["born"]: "(foreign.born)" for names in (foreign.names, nowhere)}
    return Case(
        world=_blanks(
            own=own.names,
            other=foreign.names,
            foreign=foreign.names,
            draft=unsigned,
            hospital=hospitals[0].names,
        ),
        twin=_blanks(
            own=twin.names, other=stranger.names, foreign=nowhere, draft=twins, hospital=hospitals[1].names
        ),
        secrets=secrets,
        labels=Labels(same),
        stored=[one for side in (own, foreign, twin, stranger, *hospitals) for one in side.stored.values()],
    )


def nobody(label: str, value: str) -> str:
    """Something of the same form that nothing has."""
    if label in ("born", "gender"):
        return {"born": "1931-07-30", "gender": "unknown"}[label]
    if label in ("uid", "incomplete"):
        return f"1.9.{uuid4().int}"[: len(value)]
    if label in ("marker", "staff", "secret", "mrn", "accession"):
        return f"{value[:1]}{uuid4().hex[:14]}"
    return str(uuid4())
