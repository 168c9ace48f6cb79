"""Walks the whole trail in HAPI and names the first break.

It begins behind the newest checkpoint (`retention`), if there is one. Checked, event by event: that it is
there, that its content has the hash it says, that it is signed, that it follows the one before. Then: the
anchors (signed, never out of order, naming the very hashes), the tail (nothing that the shipper's state or an
anchor knows is missing), and that HAPI holds no AuditEvent outside the chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from facade.audit.chain import GENESIS, Seal, Verifier, digest_of, event_id, load_verifier, seal_of
from facade.audit.errors import ChainStateError
from facade.audit.state import Anchor, Head, StateDir
from facade.hapi import HAPIClient, Resource

_PAGE: Final = 200

Kind = Literal[
    "missing", "changed", "forged", "unchained", "anchor", "truncated", "foreign", "state"
]  # what a break is called


@dataclass(frozen=True)
class Break:
    """The first thing that is wrong."""

    kind: Kind
    sequence: int | None
    event: str | None
    what: str


@dataclass(frozen=True)
class VerifyReport:
    """What was found."""

    events: int
    head: str
    anchors: int
    first_break: Break | None

    @property
    def is_whole(self) -> bool:
        """True if nothing is wrong."""
        return self.first_break is None


async def verify(hapi: HAPIClient, state_dir: Path, key: Path) -> VerifyReport:
    """Verify the trail that `hapi` holds with the shipper's files and the (public or private) key."""
    verifier = load_verifier(key)
    state = StateDir(state_dir)
    try:
        # Read before the walk: a shipper at work only adds to what these promise.
        anchors, head, checkpoint = state.anchors(), state.head(), state.checkpoint()
    except ChainStateError as error:
        return VerifyReport(0, GENESIS, 0, Break("state", None, None, str(error)))
    if checkpoint is not None and not verifier.is_signed(
        checkpoint.message("checkpoint"), checkpoint.signature
    ):
        name = event_id(checkpoint.sequence)
        what = f"the checkpoint of {name} is not signed by this key"
        return VerifyReport(0, GENESIS, 0, Break("anchor", checkpoint.sequence, name, what))
    walk = _Walk(hapi, verifier, anchors, head or Head(), checkpoint)
    found = await walk.first_break()
    return VerifyReport(walk.sequence - walk.removed, walk.hash, len(anchors), found)


class _Walk:
    def __init__(
        self,
        hapi: HAPIClient,
        verifier: Verifier,
        anchors: list[Anchor],
        head: Head,
        checkpoint: Anchor | None,
    ) -> None:
        self._hapi = hapi
        self._verifier = verifier
        self._anchors = anchors
        self._head = head
        self._hashes: dict[int, str] = {}  # of anchored sequence numbers
        self._anchored = {anchor.sequence for anchor in anchors}
        # What was removed after it was kept long enough: the chain goes on behind it.
        self.removed = 0 if checkpoint is None else checkpoint.sequence
        self.sequence = self.removed
        self.hash = GENESIS if checkpoint is None else checkpoint.hash
        if checkpoint is not None:
            self._hashes[checkpoint.sequence] = checkpoint.hash

    async def first_break(self) -> Break | None:
        """The break nearest to the beginning of the trail."""
        found = await self._events()
        from_anchors = self._anchor_break()
        if from_anchors is not None and (
            found is None or (from_anchors.sequence or 0) < (found.sequence or 0)
        ):
            return from_anchors
        return found or await self._foreign()

    async def _events(self) -> Break | None:
        """Walk from the first event on."""
        known = max([self._head.sequence, *self._anchored], default=0)
        while True:
            first = self.sequence + 1
            page = await self._page(first)
            for sequence in range(first, first + _PAGE):
                event = page.get(event_id(sequence))
                if event is None:
                    return self._absent(sequence, known, page)
                if (wrong := self._check(event, sequence)) is not None:
                    return wrong

    def _absent(self, sequence: int, known: int, page: dict[str, Resource]) -> Break | None:
        later = [identifier for identifier in page if identifier > event_id(sequence)]
        name = event_id(sequence)
        if later:
            return Break("missing", sequence, name, f"{name} is missing, but {min(later)} is there")
        if sequence <= known:
            return Break(
                "truncated",
                sequence,
                name,
                f"the tail is missing: the trail ends before {name}, but {event_id(known)} was shipped",
            )
        return None

    def _check(self, event: Resource, sequence: int) -> Break | None:
        name = event_id(sequence)
        said: Seal | None = seal_of(event)
        if said is None:
            return Break("forged", sequence, name, f"{name} has no seal")
        digest = digest_of(event)
        if digest != said.hash:
            return Break("changed", sequence, name, f"{name} was changed: its content has another hash")
        if said.key != self._verifier.key_id:
            return Break("forged", sequence, name, f"{name} is signed with another key")
        if not self._verifier.is_signed(bytes.fromhex(digest), said.signature):
            return Break("forged", sequence, name, f"the signature of {name} is not valid")
        if said.sequence != sequence:
            return Break("unchained", sequence, name, f"{name} says that it is number {said.sequence}")
        if said.previous != self.hash:
            return Break("unchained", sequence, name, f"{name} does not follow the event before it")
        self.sequence, self.hash = sequence, digest
        if sequence in self._anchored or sequence == self._head.sequence:
            self._hashes[sequence] = digest
        return None

    def _anchor_break(self) -> Break | None:
        last = 0
        for anchor in self._anchors:
            name = event_id(anchor.sequence)
            if not self._verifier.is_signed(anchor.message(), anchor.signature):
                return Break(
                    "anchor", anchor.sequence, name, f"the anchor of {name} is not signed by this key"
                )
            if anchor.sequence <= last:
                return Break("anchor", anchor.sequence, name, f"the anchor of {name} is out of order")
            last = anchor.sequence
            if anchor.sequence in self._hashes and self._hashes[anchor.sequence] != anchor.hash:
                return Break("anchor", anchor.sequence, name, f"{name} is not the event that was anchored")
        head = self._head
        if head.sequence in self._hashes and self._hashes[head.sequence] != head.hash:
            name = event_id(head.sequence)
            return Break("state", head.sequence, name, f"{name} is not the event that was shipped")
        return None

    async def _foreign(self) -> Break | None:
        """An AuditEvent that is no link of the chain."""
        while True:
            before = self.sequence
            bundle = await self._hapi.search("AuditEvent", [("_summary", "count")])
            # Whatever was shipped meanwhile counts as well.
            if (wrong := await self._events()) is not None:
                return wrong
            if int(bundle.get("total", 0)) <= before - self.removed:
                return None
            if self.sequence == before:
                break
        last = event_id(self.sequence)
        async for event in self._hapi.search_all("AuditEvent", [("_elements", "id")]):
            name = str(event["id"])
            is_link = name.startswith("ae-") and len(name) == len(last) and name <= last
            if name <= event_id(self.removed) and is_link:
                is_link = await self._is_left_over(name)
            if not is_link and await self._is_still_outside(name):
                return Break(
                    "foreign", None, name, f"AuditEvent/{name} is outside the chain: it was inserted"
                )
        return None

    async def _is_left_over(self, name: str) -> bool:
        """True for an event of ours whose removal was interrupted."""
        event = await self._hapi.read("AuditEvent", name)
        seal = seal_of(event)
        return (
            seal is not None
            and event_id(seal.sequence) == name
            and seal.hash == digest_of(event)
            and self._verifier.is_signed(bytes.fromhex(seal.hash), seal.signature)
        )

    async def _is_still_outside(self, name: str) -> bool:
        """False for an event that the shipper added after the walk."""
        await self._events()
        return not (name.startswith("ae-") and event_id(self.removed) < name <= event_id(self.sequence))

    async def _page(self, first: int) -> dict[str, Resource]:
        ids = ",".join(event_id(sequence) for sequence in range(first, first + _PAGE))
        bundle = await self._hapi.search("AuditEvent", [("_id", ids)], count=_PAGE)
        return {e["resource"]["id"]: e["resource"] for e in bundle.get("entry", []) if "resource" in e}
