"""Scopes narrow: granular ones, two beside each other, and fewer never allow more."""

from hypothesis import given, settings
from hypothesis import strategies as st

from smart_auth.interaction import Kind, Role
from smart_auth.policy import confirm, decide
from tests.smart_auth.callers import (
    CATEGORY,
    KINDS,
    NOW,
    OTHER,
    OWN,
    ROLES,
    TABLE,
    ask,
    caller,
    observation,
    resource,
)

# Granular scopes


def test_a_granular_scope_narrows_every_interaction() -> None:
    scope = f"user/Observation.cruds?category={CATEGORY}|laboratory"
    for kind in ("read", "search", "vread", "history-instance"):
        decision = decide(caller("doctor", scope), ask(kind, "Observation"), now=NOW)
        assert confirm(decision, observation("laboratory"))
        assert not confirm(decision, observation("vital-signs"))
        assert not confirm(decision, observation())
    search = decide(caller("doctor", scope), ask("search", "Observation"), now=NOW)
    assert search.narrow == (("category", f"{CATEGORY}|laboratory"),)
    write = decide(caller("doctor", scope), ask("create", "Observation"), now=NOW)
    assert not confirm(write, observation("vital-signs"))


def test_two_granular_scopes_reach_what_either_reaches() -> None:
    scope = "user/Condition.rs?clinical-status=active user/Condition.rs?category=problem-list-item"
    decision = decide(caller("doctor", scope), ask("search", "Condition"), now=NOW)
    active = resource("Condition") | {"clinicalStatus": {"coding": [{"code": "active"}]}}
    listed = resource("Condition") | {"category": [{"coding": [{"code": "problem-list-item"}]}]}
    assert confirm(decision, active)
    assert confirm(decision, listed)
    assert not confirm(decision, resource("Condition"))
    assert decision.narrow == ()
    assert not decision.exact


# What the facade may skip


def test_confirm_is_skipped_only_where_nothing_could_fail() -> None:
    assert not decide(caller("doctor"), ask("read", "Patient"), now=NOW).confirm
    assert not decide(caller("patient"), ask("read", "Patient", OWN), now=NOW).confirm
    for role, asked in (
        ("patient", ask("read", "Patient", OTHER)),
        ("patient", ask("search", "Condition")),
        ("patient", ask("read", "DiagnosticReport")),
        ("patient", ask("read", "Practitioner")),
        ("admin", ask("read", "Observation")),
        ("admin", ask("update", "Patient")),
        ("external", ask("read", "Group")),
    ):
        assert decide(caller(role), asked, now=NOW).confirm, (role, asked)  # type: ignore[arg-type]
    granular = caller("doctor", "user/Condition.rs?clinical-status=active")
    assert decide(granular, ask("read", "Condition"), now=NOW).confirm


# Laws

LETTERS = st.sets(st.sampled_from("cruds"), min_size=1).map(lambda s: "".join(x for x in "cruds" if x in s))
SCOPE = st.builds(
    lambda context, type_, letters, query: f"{context}/{type_}.{letters}{query}",
    st.sampled_from(["user", "patient", "system"]),
    st.sampled_from(["*", "Patient", "Observation", "Condition", "Task", "DiagnosticReport", "ImagingStudy"]),
    LETTERS,
    st.sampled_from(["", "?category=laboratory", "?status=final", "?status=final,amended&category=a"]),
)


@settings(max_examples=400, deadline=None)
@given(
    role=st.sampled_from(ROLES),
    more=st.lists(SCOPE, max_size=5),
    fewer=st.data(),
    kind=st.sampled_from(list(KINDS)),
    row=st.sampled_from([row for row, cells in TABLE.items() if any(cells)]),
    patient=st.sampled_from([OWN, OTHER]),
    launched=st.sampled_from([None, OWN, OTHER]),
)
def test_fewer_scopes_never_allow_more(
    role: Role,
    more: list[str],
    fewer: st.DataObject,
    kind: Kind,
    row: str,
    patient: str,
    launched: str | None,
) -> None:
    some = fewer.draw(st.lists(st.sampled_from(more), unique=True)) if more else []
    changes = {} if role == "patient" else {"patient": launched}
    asked = ask(kind, row.partition(" ")[0])
    with_fewer = decide(caller(role, " ".join(some), **changes), asked, now=NOW)
    with_more = decide(caller(role, " ".join(more), **changes), asked, now=NOW)
    assert with_more.allowed or not with_fewer.allowed
    found = resource(row, patient)
    assert confirm(with_more, found) or not confirm(with_fewer, found)
