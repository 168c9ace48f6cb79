"""The policy against a table of its own: role x type x interaction x compartment, and the rules beside it."""

import pytest

from smart_auth import roles
from smart_auth.interaction import Interaction, Role
from smart_auth.policy import confirm, decide
from tests.smart_auth.callers import KINDS, NOW, OTHER, OWN, ROLES, TABLE, ask, caller, resource


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("row", TABLE)
def test_every_row_of_the_table_holds_for_every_interaction_and_compartment(row: str, role: Role) -> None:
    letters, _, whose = TABLE[row][ROLES.index(role)].partition(" ")
    type_ = row.partition(" ")[0]
    for kind, letter in KINDS.items():
        decision = decide(caller(role), ask(kind, type_, OWN if type_ == "Patient" else "x1"), now=NOW)
        wanted = letter in letters
        sees_own = decision.allowed and confirm(decision, resource(row))
        assert sees_own is wanted, (row, role, kind)
        sees_other = decision.allowed and confirm(decision, resource(row, OTHER))
        assert sees_other is (wanted and not whose), (row, role, kind)
        if wanted and whose:
            assert decision.patients == frozenset({OWN})
        if not decision.allowed:
            assert decision.status == 403
            assert decision.code in ("ERR_004", "ERR_008")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("row", TABLE)
def test_without_a_scope_of_that_letter_nothing_is_allowed(row: str, role: Role) -> None:
    type_ = row.partition(" ")[0]
    for kind, letter in KINDS.items():
        others = "".join(other for other in "cruds" if other != letter)
        for scope in (
            "",
            "openid fhirUser",
            f"user/{type_}.{others}",
            "user/Basic.cruds",
            f"system/{type_}.cruds",
        ):
            decision = decide(caller(role, scope), ask(kind, type_), now=NOW)
            assert decision.code == "ERR_003", (row, role, kind, scope)
            assert not decision.allowed


def test_the_readable_table_has_a_row_for_every_type_of_the_test_and_no_other() -> None:
    listed = {row.partition(" ")[0] for row, cells in TABLE.items() if any(cells)}
    assert listed | {"MedicationKnowledge"} == roles.TYPES


@pytest.mark.parametrize("role", ROLES)
def test_only_administrators_manage_users_and_clients(role: Role) -> None:
    assert bool(roles.rule(role, roles.ADMINISTRATION).letters) is (role == "admin")


# The caller


def test_no_caller_and_an_expired_one_are_401() -> None:
    assert decide(None, ask("read", "Patient"), now=NOW).status == 401
    late = decide(caller("admin", expires=NOW), ask("read", "Patient"), now=NOW)
    assert (late.status, late.code) == (401, "ERR_002")


def test_the_capability_statement_is_open() -> None:
    assert decide(None, Interaction("capabilities"), now=NOW).allowed


@pytest.mark.parametrize(
    "interaction",
    [
        Interaction("read", "Patient"),
        Interaction("read", "Patient", "../x"),
        Interaction("read", "Patient", ".."),
        Interaction("read", "Patient", "a" * 65),
        Interaction("read", "Patient", "a/b"),
        Interaction("read", None, "x"),
        Interaction("search", "Patient", "x"),
        Interaction("search", None),
        Interaction("create", "Patient", "chosen-id"),
        Interaction("operation", "Patient", "x", operation="$export"),
        Interaction("operation", "Task", "x", operation="$sign"),
        Interaction("operation", "Task", operation="$review"),
        Interaction("operation", None, None, operation="$export"),
        Interaction("dicomweb-read", "Patient", "x"),
        Interaction("dicom-upload", "Patient"),
        Interaction("websocket", "Patient", "x"),
        Interaction("websocket", "Task"),
        Interaction("explode", "Patient", "x"),  # type: ignore[arg-type]
        Interaction("search", "Patient", parameters=(("_filter", "name eq x"),)),
        Interaction("search", "Patient", parameters=(("_text:exact", "x"),)),
        Interaction("search", "Patient", parameters=(("_getpages", "x"),)),
        Interaction("search", "Patient", parameters=(("_list", "x"),)),
        Interaction("delete", "Patient", "x", parameters=(("_cascade", "delete"),)),
        Interaction("update", "Patient", "x", parameters=(("identifier", "x"),)),
    ],
)
def test_what_is_not_understood_is_refused(interaction: Interaction) -> None:
    decision = decide(caller("admin"), interaction, now=NOW)
    assert (decision.allowed, decision.code, decision.status) == (False, "ERR_008", 403)


def test_a_conditional_write_needs_the_right_to_search() -> None:
    asked = Interaction("create", "Patient", parameters=(("identifier", "a|b"),))
    assert decide(caller("doctor"), asked, now=NOW).allowed
    assert decide(caller("doctor", "user/Patient.cr"), asked, now=NOW).code == "ERR_003"
    assert decide(caller("doctor", "user/Patient.c"), ask("create", "Patient"), now=NOW).allowed
