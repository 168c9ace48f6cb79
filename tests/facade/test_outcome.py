"""Errors: one code and sentence each, in two languages, and nothing of what happened inside."""

import json
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from facade import catalogue, errors, outcome
from facade.audit.errors import SpoolError
from facade.errors import FacadeError
from smart_auth.errors import REFUSALS, InvalidTokenError, StaleRevocationsError


def kinds(of: type[FacadeError]) -> set[type[FacadeError]]:
    return {of} | {deeper for inner in of.__subclasses__() for deeper in kinds(inner)}


def test_every_code_that_can_be_raised_is_in_the_catalogue() -> None:
    raised = {kind.code for kind in kinds(FacadeError)} | set(REFUSALS)
    assert raised <= set(catalogue.CATALOGUE)


def test_the_documentation_is_what_the_catalogue_says() -> None:
    assert (Path(__file__).parents[2] / "docs/errors.md").read_text() == catalogue.markdown()


def test_codes_lie_in_the_range_of_their_kind() -> None:
    for code, entry in catalogue.CATALOGUE.items():
        number = int(code.removeprefix("ERR_"))
        kind = number // 100
        expected = {0: {400, 401, 403, 503}, 2: {404}, 3: {409, 412, 428}, 4: {422, 429}}
        assert entry.status in expected.get(kind, {entry.status}), code
        assert entry.english.endswith(".")
        assert entry.korean.endswith(".")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidTokenError(), 401, "ERR_002"),
        (StaleRevocationsError(), 503, "ERR_012"),
        (SpoolError("/var/spool is full"), 503, "ERR_590"),
        (errors.RefusedError("ERR_004", "because"), 403, "ERR_004"),
        (errors.HAPINotFoundError(404), 404, "ERR_201"),
        (errors.HAPIGoneError(410), 404, "ERR_201"),
        (errors.HAPIConflictError(409, "HAPI-0989"), 412, "ERR_301"),
        (errors.HAPIConflictError(409, "HAPI-2745"), 409, "ERR_305"),
        (errors.HAPIPermanentError(400, "HAPI-0524"), 400, "ERR_101"),
        (errors.HAPIPermanentError(403), 500, "ERR_500"),
        (errors.HAPITemporaryError("ConnectError"), 503, "ERR_502"),
        (HTTPException(404), 404, "ERR_201"),
        (ValueError("SELECT * FROM HFJ_RESOURCE WHERE name = 'Demo'"), 500, "ERR_500"),
    ],
)
def test_each_exception_has_one_answer(error: Exception, status: int, code: str) -> None:
    answer = outcome.response(error)
    body = json.loads(bytes(answer.body))
    assert answer.status_code == status
    assert body["issue"][0]["details"]["coding"] == [{"system": "urn:neuronova:error", "code": code}]
    for inner in ("SELECT", "HAPI", "/var", "because", "ConnectError"):
        assert inner not in str(body)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("ko", "ko"),
        ("ko-KR,en;q=0.8", "ko"),
        ("en,ko;q=0.9", "en"),
        ("de,ko;q=0.1", "ko"),
        (";;", "en"),
    ],
)
def test_the_language_follows_the_caller(header: str | None, language: str) -> None:
    assert outcome.language(header) == language


def test_all_violations_are_named_at_once() -> None:
    error = errors.InvalidResourceError(issues=(("Patient.name", "missing"), ("Patient.foo", "unknown")))
    issues = outcome.operation_outcome(error)["issue"]
    assert [issue["expression"] for issue in issues] == [["Patient.name"], ["Patient.foo"]]
