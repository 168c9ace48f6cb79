"""The client of HAPI: what is sent, what each answer means, what is tried again."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiobreaker import CircuitBreaker

from facade import log
from facade.errors import (
    HAPIConflictError,
    HAPIGoneError,
    HAPINotFoundError,
    HAPIPermanentError,
    HAPITemporaryError,
)
from facade.hapi import HAPIClient, encode

BASE = "http://hapi/fhir"


def outcome(status: int, diagnostics: str = "") -> httpx.Response:
    return httpx.Response(
        status, json={"resourceType": "OperationOutcome", "issue": [{"diagnostics": diagnostics}]}
    )


class Answers:
    """Answers in order; the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


def client(answers: Answers, **options: Any) -> HAPIClient:
    return HAPIClient(BASE, "a secret", transport=httpx.MockTransport(answers), **options)


async def test_each_request_carries_the_secret_and_the_request_id() -> None:
    answers = Answers(httpx.Response(200, json={"resourceType": "Patient"}))
    token = log.request_id.set("0" * 32)
    try:
        await client(answers).read("Patient", "1")
    finally:
        log.request_id.reset(token)
    sent = answers.requests[0]
    assert str(sent.url) == f"{BASE}/Patient/1"
    assert sent.headers["x-neuronova-secret"] == "a secret"
    assert sent.headers["x-request-id"] == "0" * 32


async def test_a_search_is_stateless_and_stable_whatever_the_caller_leaves_out() -> None:
    answers = Answers(httpx.Response(200, json={"resourceType": "Bundle"}))
    await client(answers).search("Patient", [("name", "a&b"), ("_sort", "birthdate")], count=7)
    assert answers.requests[0].url.params.multi_items() == [
        ("name", "a&b"),
        ("_sort", "birthdate"),
        ("_offset", "0"),
        ("_count", "7"),
    ]


async def test_a_long_search_goes_in_the_body() -> None:
    answers = Answers(httpx.Response(200, json={"resourceType": "Bundle"}))
    await client(answers).search("Patient", [("_id", ",".join(["x" * 60] * 100))])
    sent = answers.requests[0]
    assert (sent.method, sent.url.path, sent.url.query) == ("POST", "/fhir/Patient/_search", b"")
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_search_all_follows_pages_by_offset() -> None:
    def page(*numbers: int) -> httpx.Response:
        entries = [{"resource": {"id": str(n)}, "search": {"mode": "match"}} for n in numbers]
        return httpx.Response(200, json={"resourceType": "Bundle", "entry": entries})

    answers = Answers(page(1, 2), page(3))
    found = [r["id"] async for r in client(answers).search_all("Patient", [], page=2)]
    assert found == ["1", "2", "3"]
    assert [request.url.params["_offset"] for request in answers.requests] == ["0", "2"]


@pytest.mark.parametrize("id_", ["..", ".", "a/b", "a?b", "", "x" * 65, "%2e"])
async def test_an_id_that_could_lead_elsewhere_is_never_sent(id_: str) -> None:
    answers = Answers(outcome(200))
    with pytest.raises(HAPINotFoundError):
        await client(answers).read("Patient", id_)
    assert answers.requests == []


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (outcome(404, "HAPI-2001: gone"), HAPINotFoundError, "HAPI-2001"),
        (outcome(410), HAPIGoneError, None),
        (outcome(409, "HAPI-0550: HAPI-0989: Trying to update"), HAPIConflictError, "HAPI-0989"),
        (outcome(412, "HAPI-0958: several"), HAPIConflictError, "HAPI-0958"),
        (outcome(400, "HAPI-0524: Unknown search parameter"), HAPIPermanentError, "HAPI-0524"),
    ],
)
async def test_a_refusal_keeps_status_and_code_and_nothing_else(
    answer: httpx.Response, error: type[HAPIPermanentError], code: str | None
) -> None:
    with pytest.raises(error) as caught:
        await client(Answers(answer)).update({"resourceType": "Patient", "id": "1"}, if_match="1")
    assert (caught.value.status, caught.value.hapi_code) == (answer.status_code, code)
    assert "Trying" not in str(caught.value)


@pytest.mark.parametrize("trouble", [outcome(500), outcome(503), outcome(429), httpx.ConnectError("x")])
async def test_trouble_is_temporary(trouble: httpx.Response | Exception) -> None:
    with pytest.raises(HAPITemporaryError) as caught:
        await client(Answers(trouble)).read("Patient", "1")
    assert caught.value.temporary


async def test_a_lost_race_of_conditional_creates_is_tried_again() -> None:
    stored = httpx.Response(200, json={"resourceType": "Patient", "id": "1"})
    answers = Answers(outcome(409, "HAPI-2745: busy"), outcome(409, "HAPI-0550: sql"), stored)
    resource, is_new = await client(answers).create_or_find({"resourceType": "Patient"}, if_none_exist="a=b")
    assert (resource["id"], is_new, len(answers.requests)) == ("1", False, 3)
    assert answers.requests[0].headers["if-none-exist"] == "a=b"


async def test_a_stale_version_in_a_transaction_is_not_tried_again() -> None:
    answers = Answers(outcome(409, "HAPI-0989: not the current version"))
    with pytest.raises(HAPIConflictError) as caught:
        await client(answers).transaction({"resourceType": "Bundle", "type": "transaction"})
    assert caught.value.is_stale
    assert len(answers.requests) == 1


async def test_a_plain_create_is_never_sent_twice() -> None:
    answers = Answers(outcome(409, "HAPI-2745: busy"))
    with pytest.raises(HAPIConflictError):
        await client(answers).create({"resourceType": "Patient"})
    assert len(answers.requests) == 1


async def test_the_circuit_opens_and_then_nothing_is_sent() -> None:
    answers = Answers(httpx.ConnectError("down"))
    breaker = CircuitBreaker(fail_max=3, timeout_duration=timedelta(minutes=1))
    hapi = client(answers, breaker=breaker)
    for _ in range(5):
        with pytest.raises(HAPITemporaryError):
            await hapi.read("Patient", "1")
    assert len(answers.requests) == 3


async def test_an_answer_over_the_limit_is_not_read_to_the_end() -> None:
    answers = Answers(httpx.Response(200, content=b"x" * 5000))
    with pytest.raises(HAPITemporaryError):
        await client(answers, answer_max_bytes=1000).read("Patient", "1")


async def test_exact_keeps_the_digits_of_decimals_there_and_back() -> None:
    answers = Answers(httpx.Response(200, content=b'{"resourceType":"Observation","id":"1","value":1.50}'))
    hapi = client(answers, exact=True)
    resource = await hapi.read("Observation", "1")
    assert resource["value"] == Decimal("1.50")
    await hapi.update(resource)
    assert b'"value":1.50' in answers.requests[1].content
    assert json.loads(answers.requests[1].content)["value"] == 1.5


def test_what_is_encoded_is_read_back_as_it_was() -> None:
    pairs = [("identifier", "urn:x|a&b=c"), ("name", "홍 길+동"), ("q", "a%2Fb")]
    assert httpx.QueryParams(encode(pairs)).multi_items() == pairs
