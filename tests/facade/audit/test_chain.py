"""The seal holds exactly what it claims, and any change of it shows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from facade.audit.chain import GENESIS, Signer, digest_of, event_id, seal, seal_of
from facade.audit.event import Who, audit_event

SIGNER = Signer(ec.generate_private_key(ec.SECP256R1()))


def event() -> dict[str, Any]:
    who = Who("Practitioner/d1", "doctor", "viewer", "jti", "127.0.0.1")
    return audit_event(interaction="read", action="R", who=who, patient="Patient/1", request_id="a" * 32)


def test_a_sealed_event_says_its_place_and_proves_it() -> None:
    sealed, digest = seal(event(), 7, "ab" * 32, SIGNER)
    said = seal_of(sealed)
    assert said is not None
    assert sealed["id"] == event_id(7) == "ae-000000000007"
    assert (said.sequence, said.previous, said.hash) == (7, "ab" * 32, digest)
    assert digest_of(sealed) == digest
    assert SIGNER.is_signed(bytes.fromhex(digest), said.signature)


def test_what_the_store_adds_does_not_count() -> None:
    sealed, digest = seal(event(), 1, GENESIS, SIGNER)
    stored = dict(reversed(sealed.items())) | {
        "meta": {"versionId": "1", "source": "#x"},
        "text": {"status": "generated", "div": "<div/>"},
    }
    assert digest_of(stored) == digest


@pytest.mark.parametrize("element", ["action", "recorded", "outcome", "agent", "source", "entity", "type"])
def test_every_element_is_hashed(element: str) -> None:
    sealed, digest = seal(event(), 1, GENESIS, SIGNER)
    changed = copy.deepcopy(sealed)
    del changed[element]
    assert digest_of(changed) != digest


@pytest.mark.parametrize("part", ["sequence", "previous", "key"])
def test_the_place_in_the_chain_is_hashed(part: str) -> None:
    sealed, digest = seal(event(), 1, GENESIS, SIGNER)
    changed = copy.deepcopy(sealed)
    for one in changed["extension"][0]["extension"]:
        if one["url"] == part:
            one["valueString"] = "000000000002"
    assert digest_of(changed) != digest


def test_another_key_does_not_sign_for_this_one() -> None:
    other = Signer(ec.generate_private_key(ec.SECP256R1()))
    sealed, digest = seal(event(), 1, GENESIS, other)
    said = seal_of(sealed)
    assert said is not None
    assert said.key != SIGNER.key_id
    assert not SIGNER.is_signed(bytes.fromhex(digest), said.signature)


@pytest.mark.parametrize("signature", ["", "x", "!" * 86, "A" * 86, "A" * 200])
def test_a_malformed_signature_is_refused(signature: str) -> None:
    assert not SIGNER.is_signed(b"message", signature)


def test_an_event_with_two_seals_has_none() -> None:
    sealed, _ = seal(event(), 1, GENESIS, SIGNER)
    sealed["extension"].append(copy.deepcopy(sealed["extension"][0]))
    assert seal_of(sealed) is None
