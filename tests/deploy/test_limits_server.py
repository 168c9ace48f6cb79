"""nginx limits by address only where nobody is known yet; behind a named proxy the client is the address."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.__main__ import free_ports
from deploy.settings import Settings
from tests.servers.stack import Stack

pytestmark = pytest.mark.server
MANY = 60


def started(**changes: object) -> Stack:
    """nginx alone, with the limits of the product."""
    var = Path(tempfile.mkdtemp(prefix="nn", dir="/tmp"))
    settings = dataclasses.replace(Settings(var=var), **changes)  # type: ignore[arg-type]
    return Stack(free_ports(settings), is_ours=True).need("nginx")


@pytest.fixture(scope="module")
def door() -> Iterator[Stack]:
    stack = started()
    yield stack
    stack.close()


@pytest.fixture(scope="module")
def behind_proxy() -> Iterator[Stack]:
    stack = started(trusted_proxies="127.0.0.0/8")
    yield stack
    stack.close()


def answers(stack: Stack, path: str, *, addresses: bool = False, **headers: str) -> list[httpx.Response]:
    """Answers to many requests in a row; the facade is away, so what gets through is 503."""
    with httpx.Client(base_url=stack.base_url) as browser:
        named = [{"CF-Connecting-IP": f"203.0.113.{number}"} if addresses else {} for number in range(MANY)]
        return [browser.get(path, headers={**headers, **more}) for more in named]


def statuses(stack: Stack, path: str, *, addresses: bool = False, **headers: str) -> Counter[int]:
    """How many of each."""
    found = answers(stack, path, addresses=addresses, **headers)
    return Counter(answer.status_code for answer in found)


@pytest.mark.parametrize(
    "path", ["/auth/login", "/auth/token", "/fhir/metadata", "/fhir/.well-known/smart-configuration"]
)
def test_login_token_and_discovery_are_limited_by_address(door: Stack, path: str) -> None:
    found = statuses(door, path)
    assert found[429] > 0
    assert set(found) <= {429, 503}


@pytest.mark.parametrize("path", ["/fhir/Patient/1", "/dicom-web/studies", "/auth/me"])
def test_a_hospital_behind_one_address_is_not_throttled_as_one(door: Stack, path: str) -> None:
    assert statuses(door, path, Authorization="Bearer x") == {503: MANY}
    assert statuses(door, path)[429] > 0


def test_handshakes_are_limited(door: Stack) -> None:
    assert statuses(door, "/ws/notifications")[429] > 0


def test_a_limited_answer_is_an_outcome_with_its_headers(door: Stack) -> None:
    answer = next(one for one in answers(door, "/fhir/metadata") if one.status_code == 429)
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "ERR_407"
    assert answer.headers["retry-after"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-frame-options"] == "DENY"


def test_a_clients_word_on_its_address_counts_only_from_a_named_proxy(
    door: Stack, behind_proxy: Stack
) -> None:
    assert statuses(behind_proxy, "/auth/login", addresses=True) == {503: MANY}
    assert statuses(behind_proxy, "/auth/login")[429] > 0
    assert statuses(door, "/auth/login", addresses=True)[429] > 0
