"""Scopes: what is understood, what is left out, and that intersection never grants more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_auth import roles, scopes
from smart_auth.scopes import Grant, ScopeSet, echo, parse, parse_grant

GRANTS = st.builds(
    lambda context, type_, letters, predicates: Grant(
        context,
        type_,
        "".join(letter for letter in "cruds" if letter in letters),
        tuple(sorted(predicates)) if type_ == "Observation" else (),
    ),
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["*", "Patient", "Observation", "Task"]),
    st.sets(st.sampled_from("cruds"), min_size=1),
    st.sets(
        st.sampled_from(
            [
                ("category", ("laboratory",)),
                ("status", ("amended", "final")),
                ("code", ("http://loinc.org|1-1",)),
            ]
        )
    ),
)
SETS = st.builds(
    lambda grants, words: parse(str(ScopeSet(frozenset(grants), frozenset(words)))),
    st.sets(GRANTS, max_size=6),
    st.sets(st.sampled_from(sorted(scopes.WORDS))),
)


@given(SETS)
def test_what_is_printed_is_read_back(scope: ScopeSet) -> None:
    assert parse(str(scope)) == scope


@given(SETS, SETS)
def test_an_intersection_never_grants_more_than_either_side(a: ScopeSet, b: ScopeSet) -> None:
    met = a & b
    assert a.covers(met)
    assert b.covers(met)
    assert met == b & a


@given(SETS)
def test_an_intersection_with_itself_changes_nothing(scope: ScopeSet) -> None:
    assert scope & scope == scope


@given(SETS, st.sampled_from(roles.ROLES))
def test_a_role_never_adds_to_a_scope(scope: ScopeSet, role: roles.Role) -> None:
    within = roles.within_role(scope, role)
    assert scope.covers(within)
    for grant in within.grants:
        types = roles.TYPES if grant.type == "*" else {grant.type}
        assert all(set(grant.letters) <= set(roles.ceiling_letters(role, type_)) for type_ in types)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("patient/Patient.read", "rs"),
        ("user/*.write", "cud"),
        ("system/*.*", "cruds"),
        ("patient/Observation.rs", "rs"),
        ("user/Task.cruds", "cruds"),
        ("user/Task.d", "d"),
    ],
)
def test_both_versions_of_scopes_are_read(text: str, letters: str) -> None:
    grant = parse_grant(text)
    assert grant is not None
    assert grant.letters == letters


@pytest.mark.parametrize(
    "text",
    [
        "patient/Patient.",
        "patient/Patient",
        "patient/Patient.sr",
        "patient/Patient.rr",
        "patient/Patient.Read",
        "patient/patient.rs",
        "patient/*.rs?category=laboratory",
        "patient/Observation.read?category=laboratory",
        "patient/Observation.rs?",
        "patient/Observation.rs?category=",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category:not=laboratory",
        "patient/Observation.rs?subject.name=x",
        "patient/Observation.rs?value-quantity=gt5",
        "patient/Patient.rs?name=x",
        "group/Patient.rs",
        "user/Patient.rs\n",
        "user/Patient/x.rs",
        "user/Pat*.rs",
        "https://example.com/user/Patient.rs",
        "",
        "*",
        "user/Observation.rs?category=a%20b",
    ],
)
def test_text_that_is_not_understood_grants_nothing(text: str) -> None:
    assert parse_grant(text) is None
    assert parse(text) == ScopeSet()


def test_a_scope_that_is_too_long_grants_nothing() -> None:
    assert parse(" ".join(["user/Patient.rs"] * 1000)) == ScopeSet()


def test_a_granular_value_with_a_system_survives_encoding() -> None:
    text = "user/Observation.rs?category=http%3A%2F%2Fx%7Claboratory"
    assert str(parse(text)) == "user/Observation.rs?category=http://x|laboratory"


def test_what_was_granted_whole_is_answered_in_the_clients_words() -> None:
    asked = "openid user/Patient.read user/Task.cruds"
    assert (
        echo(asked, parse("openid user/Patient.rs user/Task.crus"))
        == "openid user/Patient.read user/Task.crus"
    )
    assert echo("user/*.cruds", parse("user/Patient.rs")) == "user/Patient.rs"
