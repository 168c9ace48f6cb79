"""Whatever comes is understood or refused: addresses, queries, bodies, patches, Bundle entries (Hypothesis).

The budget of a test run is small and fixed; `HYPOTHESIS_PROFILE=long` runs a hundred times as many.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from facade import bundle, exact, json_patch
from facade.controls import ON_SEARCH, controls
from facade.errors import FacadeError
from facade.outcome import status_of
from facade.parameters import TABLE
from facade.preconditions import Preconditions, is_unchanged, version_seen
from facade.request import pairs, parse
from facade.validation import validate
from smart_auth import policy, scopes
from smart_auth.interaction import Interaction, Principal, Role
from smart_auth.policy import confirm, decide

BASE = "http://localhost:8080"
NOW = 1_800_000_000
BUDGET = settings(
    max_examples=20_000 if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 200,
    deadline=None,
    derandomize=True,
)

words = st.sampled_from(
    [
        *TABLE,
        "_history",
        "_search",
        "$everything",
        "$sign",
        "$export",
        "1",
        "..",
        "",
        "*",
        "#",
        "?",
        "%2f",
        "_include",
        "_revinclude:iterate",
        "_has:Observation:subject:code",
        "subject:Patient.name",
        "_sort",
        "_id",
        "_getpages",
        "_filter",
        "_count",
        "identifier",
        "Patient/1",
        "-1",
        "true",
        "urn:uuid:1",
        "a|b",
        "\ud800",
    ]
)
texts = st.one_of(words, st.text(max_size=12))
paths = st.lists(texts, max_size=5).map("/".join)
queries = st.lists(st.tuples(texts, texts), max_size=5).map(
    lambda found: "&".join(f"{n}={v}" for n, v in found)
)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
pointers = st.lists(
    st.sampled_from(["", "id", "name", "0", "-", "given", "~1", "~9", "x" * 9, "-1", "01"]), max_size=4
).map(lambda found: "".join(f"/{part}" for part in found))
steps = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "colour"])},
    optional={"path": st.one_of(pointers, values), "from": st.one_of(pointers, values), "value": values},
)


def written(value: Any) -> bytes:
    """As a client would write it: half of a surrogate pair and large numbers included."""
    return json.dumps(value).encode()


PATIENT = {"resourceType": "Patient", "id": "1", "name": [{"given": ["a", "b"]}], "active": True}


@contextmanager
def refusals_only() -> Iterator[None]:
    """Let what the facade refuses pass; everything else is a failure."""
    try:
        yield
    except FacadeError as error:
        if not 400 <= status_of(error) < 500:
            raise AssertionError("a failure of the server") from error


@BUDGET
@given(st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"]), paths, queries)
def test_an_address_is_understood_or_refused(method: str, path: str, query: str) -> None:
    with refusals_only():
        given_pairs = pairs(query.encode("utf-8", "surrogatepass"))
        asked = parse(method, f"/fhir/{path}".encode("utf-8", "surrogatepass"), given_pairs, base_url=BASE)
        assert asked.interaction.type is None or asked.interaction.type in TABLE
        assert (
            not {name.partition(":")[0] for name, _ in asked.interaction.parameters}
            & policy.REFUSED_PARAMETERS
        )


@BUDGET
@given(
    st.sampled_from(sorted(TABLE)), st.lists(st.tuples(st.sampled_from(sorted(ON_SEARCH)), texts), max_size=4)
)
def test_control_parameters_are_understood_or_refused(type_: str, given_pairs: list[tuple[str, str]]) -> None:
    with refusals_only():
        wanted = controls(type_, given_pairs, 200, ON_SEARCH)
        assert all(include.source in TABLE for include in wanted.includes)
        assert wanted.count is None or wanted.count <= 200


@BUDGET
@given(st.one_of(st.binary(max_size=80), values.map(lambda v: str(v).encode("utf-8", "surrogatepass"))))
def test_a_body_is_read_or_refused(text: bytes) -> None:
    with refusals_only():
        exact.dumps(exact.loads_strict(text))


@BUDGET
@given(st.dictionaries(texts, values, max_size=4), st.sampled_from(sorted(TABLE)))
def test_a_resource_is_valid_or_refused(more: dict[str, Any], type_: str) -> None:
    with refusals_only():
        body = exact.loads_strict(written({**more, "resourceType": type_}))
        validate(body)
        version_seen(None, body)


@BUDGET
@given(st.lists(steps, max_size=4))
def test_a_patch_fits_or_is_refused(patch: list[Any]) -> None:
    before = exact.dumps(PATIENT)
    text = written(patch)
    with refusals_only():
        body = json_patch.apply(json_patch.read(text), PATIENT, 10_000)
        assert (body["resourceType"], body["id"]) == ("Patient", "1")
    assert exact.dumps(PATIENT) == before, "what was read is not touched"


@BUDGET
@given(
    st.one_of(
        values,
        st.fixed_dictionaries(
            {
                "request": st.fixed_dictionaries(
                    {
                        "method": st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
                        "url": st.one_of(paths, values),
                    },
                    optional={"ifMatch": values, "ifNoneExist": st.one_of(queries, values)},
                )
            },
            optional={"resource": values, "fullUrl": values},
        ),
    )
)
def test_an_entry_is_understood_or_refused(raw: Any) -> None:
    with refusals_only():
        entry = bundle.read(raw, 0, base_url=BASE, page_max=200, preconditions=Preconditions())
        asked = entry.asked.interaction
        assert asked.kind not in ("batch", "transaction")
        assert asked.operation in (None, "$everything", "$meta")


@BUDGET
@given(st.one_of(st.none(), texts), st.one_of(st.none(), texts))
def test_conditions_of_a_read_are_understood_or_refused(tag: str | None, since: str | None) -> None:
    stored = {"meta": {"versionId": "3", "lastUpdated": "2026-01-01T00:00:00Z"}}
    with refusals_only():
        is_unchanged(Preconditions(if_none_match=tag, if_modified_since=since), stored)


SCOPES = [
    f"{context}/{type_}.{letters}{predicate}"
    for context in ("patient", "user", "system")
    for type_ in ("*", "Patient", "Observation", "ServiceRequest", "DiagnosticReport")
    for letters in ("r", "rs", "cruds", "u")
    for predicate in ("", *(("?category=imaging", "?status=final") if type_ == "Observation" else ()))
]
ROLES: tuple[Role, ...] = ("admin", "doctor", "rib", "lab", "nurse", "patient", "external")


def _caller(role: Role, held: list[str], patient: str | None) -> Principal:
    return Principal(
        user_id="u",
        fhir_user="Practitioner/p",
        role=role,
        scopes=scopes.parse(" ".join(held)),
        client_id="a",
        jti="j",
        patient=patient,
        organization="o" if role == "external" else None,
        auth_time=NOW - 9,
        expires=NOW + 99,
        shared=frozenset({"a"}) if role == "external" else frozenset(),
    )


interactions = st.one_of(
    st.builds(
        Interaction,
        st.sampled_from(["read", "vread", "history-instance", "update", "patch", "delete"]),
        st.sampled_from([*sorted(TABLE), "Binary"]),
        st.just("a"),
    ),
    st.builds(
        Interaction, st.sampled_from(["search", "create", "history-type"]), st.sampled_from(sorted(TABLE))
    ),
    st.builds(
        Interaction,
        st.just("operation"),
        st.sampled_from(sorted(TABLE)),
        st.sampled_from([None, "a"]),
        operation=st.sampled_from(["$sign", "$review", "$everything", "$meta", "$validate", "$export"]),
    ),
)
resources = st.builds(
    lambda type_, patient, status, category: {
        "resourceType": type_,
        "id": "a",
        "status": status,
        "subject": {"reference": f"Patient/{patient}"},
        "patient": {"reference": f"Patient/{patient}"},
        "for": {"reference": f"Patient/{patient}"},
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category}
                ]
            }
        ],
    },
    st.sampled_from(sorted(TABLE)),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["final", "preliminary", "available", "entered-in-error"]),
    st.sampled_from(["imaging", "laboratory", "vital-signs", "exam"]),
)


@BUDGET
@given(
    st.sampled_from(ROLES),
    st.lists(st.sampled_from(SCOPES), min_size=1, max_size=4),
    interactions,
    resources,
    st.sampled_from([None, "a", "b"]),
)
def test_fewer_scopes_never_grant_more(
    role: Role, held: list[str], asked: Interaction, resource: Mapping[str, Any], patient: str | None
) -> None:
    """Never a grant under a narrower token that a wider one is refused."""
    narrower, wider = _caller(role, held[:1], patient), _caller(role, held, patient)
    resource = {**resource, "resourceType": asked.type}
    if asked.kind == "search" and asked.type == "Provenance":
        asked = replace(asked, parameters=(("target", "DiagnosticReport/1"),))
    under_narrow, under_wide = decide(narrower, asked, now=NOW), decide(wider, asked, now=NOW)
    if under_narrow.allowed:
        assert under_wide.allowed
        if confirm(under_narrow, resource):
            assert confirm(under_wide, resource)
    nothing = decide(replace(narrower, scopes=scopes.parse("openid")), asked, now=NOW)
    assert not nothing.allowed
