"""What is left of an offer, and what an answer says about an older one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_auth import clients, consent, roles, scopes, users, wording
from smart_auth.database import Database
from smart_auth.scopes import ScopeSet
from tests.smart_auth.quick import tables_in

OFFER = scopes.parse(
    "openid offline_access launch/patient patient/Observation.rs patient/Condition.crus user/Patient.cruds "
    "user/Observation.rs?category=laboratory user/*.rs"
)
SWITCHES = sorted({*OFFER.words, *(str(part) for grant in OFFER.grants for part in consent.parts(grant))})
ONLY = sorted({value for grant in OFFER.grants for _, value in consent.narrower(grant)})


def test_everything_left_on_is_everything_that_was_offered() -> None:
    assert consent.chosen(OFFER, SWITCHES, []) == OFFER


@given(
    st.lists(st.sampled_from([*SWITCHES, "user/*.cruds", "launch", "x"])),
    st.lists(st.sampled_from([*ONLY, "y"])),
)
def test_a_choice_never_goes_beyond_the_offer(on: list[str], only: list[str]) -> None:
    left = consent.chosen(OFFER, on, only)
    assert OFFER.covers(left)


def test_categories_narrow_one_type_in_one_context() -> None:
    (lab,) = [value for value in ONLY if value.startswith("patient/Observation") and "laboratory" in value]
    left = consent.chosen(OFFER, ["patient/Observation.rs", "user/Patient.rs"], [lab])
    assert str(left) == (f"patient/Observation.rs?category={consent.CATEGORIES}|laboratory user/Patient.rs")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A user `u` and an app `app`."""
    database = Database(tables_in(tmp_path))
    clients.register(
        database,
        "app",
        kind="public",
        name="App",
        scope="openid user/*.rs",
        redirect_uris=["https://a.example/cb"],
    )
    return database


def remembered(database: Database, *answers: tuple[str, str]) -> tuple[str, str]:
    user = users.create(database, "demo-user", "doctor").user
    for asked, scope in answers:
        consent.remember(database, user.id, "app", scopes.parse(asked), scopes.parse(scope))
    found = consent.find(database, user.id, "app")
    assert found is not None
    return str(found.asked), str(found.scope)


def test_an_answer_about_something_else_leaves_the_older_one(database: Database) -> None:
    assert remembered(
        database, ("openid user/Patient.rs", "openid"), ("user/Condition.rs", "user/Condition.rs")
    ) == (
        "openid user/Condition.rs user/Patient.rs",
        "openid user/Condition.rs",
    )


def test_a_newer_answer_takes_back_what_it_overlaps(database: Database) -> None:
    wide = "user/*.rs"
    assert remembered(database, (wide, wide), ("user/Patient.rs", "")) == ("user/Patient.rs", "")


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_every_scope_of_every_role_has_words(lang: str) -> None:
    everything = scopes.parse("patient/*.cruds user/*.cruds " + " ".join(scopes.WORDS - scopes.RIGHTS))
    for role in roles.ROLES:
        allowed = roles.within_role(everything, role)
        for context in ("patient", "user"):
            shown = [row for group in wording.groups(allowed, context, lang) for row in group.rows]
            values = {switch.value for row in shown for switch in row.switches}
            grants = {g for g in allowed.grants if g.context == context}
            assert values == {str(part) for grant in grants for part in consent.parts(grant)}
            assert all(switch.label for row in shown for switch in row.switches)
            assert not any(row.label in roles.TYPES - {"Endpoint"} for row in shown)
    assert len(wording.words(everything, lang, days=30)) == len(scopes.WORDS - scopes.RIGHTS)


def test_a_granular_scope_says_its_limit() -> None:
    (grant,) = scopes.parse(f"user/Observation.rs?category={consent.CATEGORIES}|laboratory").grants
    assert wording.sentence(grant, "en") == "Measurements and findings (laboratory results): view"
    assert isinstance(wording.groups(ScopeSet(frozenset({grant})), "user", "ko")[0].rows[0].only, list)
