"""Reading a request: what is understood, and that everything else is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facade.errors import BadRequestError, FacadeError, MethodError, NotFoundError, UnknownParameterError
from facade.parameters import TABLE
from facade.preconditions import version_seen as if_match
from facade.request import Request, accepts_json, criteria, pairs, parse

BASE = "http://localhost:8080"


def read(method: str, path: str, query: str = "", *, lenient: bool = False) -> Request:
    return parse(method, path.encode(), pairs(query.encode()), base_url=BASE, lenient=lenient)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/fhir/Patient/1", "read"),
        ("HEAD", "/fhir/Patient/1", "read"),
        ("GET", "/fhir/Patient/1/_history/2", "vread"),
        ("GET", "/fhir/Patient/1/_history", "history-instance"),
        ("GET", "/fhir/Patient/_history", "history-type"),
        ("GET", "/fhir/Patient", "search"),
        ("POST", "/fhir/Patient/_search", "search"),
        ("POST", "/fhir/Patient", "create"),
        ("PUT", "/fhir/Patient/1", "update"),
        ("PATCH", "/fhir/Patient/1", "patch"),
        ("DELETE", "/fhir/Patient/1", "delete"),
        ("POST", "/fhir", "batch"),
        ("GET", "/fhir/Patient/1/$everything", "operation"),
        ("GET", "/fhir/Patient/1/$meta", "operation"),
        ("POST", "/fhir/Patient/$validate", "operation"),
        ("POST", "/fhir/Task/1/$review", "operation"),
        ("POST", "/fhir/Task/1/%24review", "operation"),
    ],
)
def test_each_address_is_one_interaction(method: str, path: str, kind: str) -> None:
    assert read(method, path).interaction.kind == kind


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/fhir/Patient/..", NotFoundError),
        ("GET", "/fhir/Patient/%2e%2e", NotFoundError),
        ("GET", "/fhir/Patient/1%2f_history", NotFoundError),
        ("GET", "/fhir/Patient/%2531", NotFoundError),
        ("GET", "/fhir/Patient//1", NotFoundError),
        ("GET", "/fhir/Subscription/1", NotFoundError),
        ("GET", "/fhirPatient/1", NotFoundError),
        ("GET", "/fhir/Patient/1/_history/x", NotFoundError),
        ("GET", "/fhir/Patient/$everything", MethodError),
        ("GET", "/fhir/Task/1/$review", MethodError),
        ("POST", "/fhir/$export", MethodError),
        ("GET", "/fhir", MethodError),
        ("PATCH", "/fhir/Patient", MethodError),
        ("GET", "/fhir/Observation/1/$everything", MethodError),
        ("POST", "/fhir/Patient/1/$everything", MethodError),
        ("GET", "/fhir/Patient/$meta", MethodError),
        ("POST", "/fhir/Patient/1/$meta-add", MethodError),
        ("POST", "/fhir/Patient/1/$validate", MethodError),
        ("PUT", "/fhir/Patient", MethodError),
        ("DELETE", "/fhir/Patient", MethodError),
    ],
)
def test_what_is_not_offered_is_refused(method: str, path: str, error: type[FacadeError]) -> None:
    with pytest.raises(error):
        read(method, path)


@pytest.mark.parametrize(
    "query",
    [
        "_getpages=1",
        "_filter=a",
        "_query=a",
        "_content=a",
        "_text=a",
        "_contained=true",
        "_pid=1",
        "_list=1",
        "_type=Patient",
        "_cascade=delete",
        "_at=2020",
        "_include=Observation:*",
        "_include=Observation:subject",
        "_include:recurse=Patient:link",
        "_revinclude=Observation:*:Device",
        "_revinclude=Observation:encounter",
        "_has:Observation:code:code=1",
        "_has:Observation:subject=1",
        "_has:AuditEvent:entity.x:action=R",
        "name:not=x",
        "name:contains=x",
        "_sort:desc=birthdate",
        "_count:x=1",
        "_summary:exact=true",
        "organization:identifier=x",
        "organization:Patient=1",
        "general-practitioner.name=x",
        "_sort=general-practitioner.name",
        "_sort=organization",
        "_sort=organization.nothing",
        "_sort=organization:Patient.name",
        "_sort=organization.partof.name",
        "colour=red",
    ],
)
def test_parameters_outside_the_table_are_an_error(query: str) -> None:
    with pytest.raises(UnknownParameterError):
        read("GET", "/fhir/Patient", query)
    if query.startswith("_"):
        with pytest.raises(UnknownParameterError):
            read("GET", "/fhir/Patient", query, lenient=True)


@pytest.mark.parametrize(
    "query",
    [
        *("name=", "_count=x", "_count=1&_count=2", "birthdate=yesterday", "name=%00", "name=%ff", "_id=a/b"),
        *("organization=Patient/1", "organization=http://elsewhere/Organization/1", "active:missing=perhaps"),
        *("_summary=all", "_total=exactly", "_elements=a.b", "_offset=-1", "_offset=999999"),
    ],
)
def test_values_that_cannot_be_read_are_an_error(query: str) -> None:
    with pytest.raises(BadRequestError):
        read("GET", "/fhir/Patient", query)


def test_references_have_one_form() -> None:
    asked = read("GET", "/fhir/Observation", f"subject={BASE}/fhir/Patient/1,Patient/2&patient=3")
    assert asked.interaction.parameters == (("subject", "Patient/1,Patient/2"), ("patient", "Patient/3"))


def test_a_chain_says_which_type_it_enters() -> None:
    chain = read("GET", "/fhir/Observation", "subject:Patient.name=x").search[0].chain
    assert chain is not None
    assert (chain.reverse, chain.parameter, chain.targets) == (False, "subject", ("Patient",))
    back = read("GET", "/fhir/Patient", "_has:Observation:subject:code=1").search[0].chain
    assert back is not None
    assert (back.reverse, back.parameter, back.targets) == (True, "subject", ("Observation",))


def test_a_wildcard_stands_for_every_reference_of_the_table() -> None:
    forward = read("GET", "/fhir/Observation", "_include=*").controls.includes
    assert {i.parameter for i in forward} >= {"subject", "performer", "derived-from"}
    assert all(i.source == "Observation" and i.is_wildcard and not i.reverse for i in forward)
    back = read("GET", "/fhir/Patient", "_revinclude=*").controls.includes
    assert all(i.reverse and "Patient" in TABLE[i.source][i.parameter]["targets"] for i in back)
    assert forward == read("GET", "/fhir/Observation", "_include=Observation:*").controls.includes


def test_a_sort_through_a_reference_says_where_it_goes() -> None:
    keys = read("GET", "/fhir/Observation", "_sort=-subject:Patient.birthdate,_id").controls.sort
    assert [key.text() for key in keys] == ["-Patient:subject.birthdate", "_id"]


def test_conditional_writes_have_criteria_in_the_place_of_an_id() -> None:
    for method, kind in (("PUT", "update"), ("PATCH", "patch"), ("DELETE", "delete")):
        asked = read(method, "/fhir/Patient", "identifier=a|b").interaction
        assert (asked.kind, asked.id, asked.parameters) == (kind, None, (("identifier", "a|b"),))
        for query in ("_count=1", "_expunge=true", "general-practitioner.name=x", "colour=red"):
            with pytest.raises(UnknownParameterError):
                read(method, "/fhir/Patient", query)


def test_lenient_leaves_unknown_parameters_out_and_says_so() -> None:
    asked = read("GET", "/fhir/Patient", "colour=red&name=x", lenient=True)
    assert asked.interaction.parameters == (("name", "x"),)
    assert asked.client == (("name", "x"),)
    assert asked.ignored


def test_writes_take_no_parameters() -> None:
    for method, path in (
        ("POST", "/fhir"),
        ("PATCH", "/fhir/Patient/1"),
        ("GET", "/fhir/Patient/1/$meta"),
        ("POST", "/fhir/Patient"),
        ("PUT", "/fhir/Patient/1"),
        ("DELETE", "/fhir/Patient/1"),
    ):
        with pytest.raises(UnknownParameterError):
            read(method, path, "_cascade=delete")


def test_a_condition_is_a_search_of_the_type_without_chains() -> None:
    found = criteria("Patient", "identifier=a|b&active=true", BASE)
    assert [p.name for p in found] == ["active", "identifier"]
    assert found == criteria("Patient", "?active=true&identifier=a%7Cb", BASE), "equal conditions are one"
    for text in ("", "_count=1", "organization.name=x", "_has:Observation:subject:code=1", "colour=red"):
        with pytest.raises(FacadeError):
            criteria("Patient", text, BASE)


@pytest.mark.parametrize(
    ("header", "body", "version"),
    [('W/"3"', None, "3"), ('"3"', None, "3"), (None, {"meta": {"versionId": "4"}}, "4"), (None, {}, None)],
)
def test_the_version_that_was_read(header: str | None, body: object, version: str | None) -> None:
    assert if_match(header, body) == version


@pytest.mark.parametrize("header", ["3", 'W/"x"', "*", 'W/"3", W/"4"', ""])
def test_a_malformed_tag_is_an_error(header: str) -> None:
    with pytest.raises(BadRequestError):
        if_match(header, None)


def test_only_json_is_sent() -> None:
    for accept in (None, "*/*", "application/fhir+json", "text/html, application/json;q=0.5"):
        accepts_json(accept)
    with pytest.raises(FacadeError):
        accepts_json("application/fhir+xml")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "BREW"]),
    st.lists(
        st.one_of(
            st.sampled_from([*sorted(TABLE)[:4], "_history", "_search", "$review", "1", ".."]),
            st.text(max_size=9),
        ),
        max_size=5,
    ),
    st.binary(max_size=60),
)
def test_whatever_comes_is_understood_or_refused(method: str, parts: list[str], query: bytes) -> None:
    path = "/fhir/" + "/".join(parts)
    try:
        parse(method, path.encode("utf-8", "surrogatepass"), pairs(query), base_url=BASE)
    except FacadeError:
        return
