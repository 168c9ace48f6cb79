"""How patients and visits are shown, and what a search for them asks."""

from typing import Any

import pytest

from smart_auth.directory import MRN, Looker, encounter_line, patient_line, principal_of
from smart_auth.session import Session
from tests.smart_auth.hospital import Hospital


def looker(hospital: Hospital) -> Looker:
    session = Session("s", "u", "nurse", "Practitioner/n", None, 0, 1, 4_000_000_000, "c", "v", "l")
    return Looker(hospital, principal_of(session, "nurse"), None)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([{"family": "남궁", "given": ["하늘"]}, {"family": "Namgung", "given": ["Haneul"]}],
         "남궁하늘 · Haneul Namgung"),
        ([{"text": "As written", "family": "Other"}], "As written"),
        ([{"use": "old", "text": "Before"}, {"use": "official", "text": "Now"}], "Now"),
        ([{"use": "nickname", "text": "Nick"}], "Nick"),
        ([], ""),
    ],
)  # fmt: skip
def test_a_name_is_shown_as_it_is_read(names: list[dict[str, Any]], shown: str) -> None:
    assert patient_line({"id": "1", "name": names}).name == shown


def test_only_our_own_record_number_is_shown() -> None:
    identifiers = [{"system": "urn:other", "value": "secret"}, {"system": MRN, "value": "M-1"}]
    assert patient_line({"id": "1", "identifier": identifiers}).mrn == "M-1"
    assert patient_line({"id": "1", "identifier": identifiers[:1]}).mrn == ""


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-03-01T09:30:00+09:00", "2026-03-01 09:30 +09:00"),
        ("2026-03-01T00:30:00.123Z", "2026-03-01 00:30 UTC"),
        ("2026-03", "2026-03"),
        (None, ""),
    ],
)
def test_a_time_keeps_its_zone(written: str | None, shown: str) -> None:
    assert encounter_line({"id": "1", "period": {"start": written}}).start == shown


async def test_a_search_without_a_criterion_asks_nobody() -> None:
    hospital = Hospital()
    assert not (await looker(hospital).patients("", "", "not a date", 0)).resources
    assert hospital.asked == []


async def test_what_is_typed_is_a_value_and_never_a_parameter() -> None:
    class Recording(Hospital):
        seen: tuple[tuple[str, str], ...] = ()

        async def search(self, principal: Any, address: Any, type_: str, parameters: Any) -> Any:
            self.seen = tuple(parameters)
            return await super().search(principal, address, type_, [("name", "x"), *parameters[-3:]])

    hospital = Recording()
    await looker(hospital).patients("a,b|c&_id=1", "1|2,3", "", 0)
    assert hospital.seen[:2] == (("identifier", f"{MRN}|1\\|2\\,3"), ("name", "a\\,b\\|c&_id=1"))
    assert await looker(hospital).read("Patient", "1/../2") is None
    assert all(kind != "read" for _, kind, _ in hospital.asked)
