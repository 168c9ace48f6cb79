"""Keys by address: never inward, never twice in a minute, nothing proved when they cannot be had."""

import asyncio
import ipaddress
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey

from smart_auth.jwks_fetch import AGAIN_S, FAILED_S, KeySets, KeysUnavailableError, is_public

KEY = ECKey.generate_key("P-384", {"kid": "k1"})
PUBLIC = KEY.as_dict(private=False)
URI = "https://backend.example/keys.json"
OUTSIDE = "93.184.215.14"


class Site:
    """A name server, the internet and a clock."""

    def __init__(self, **options: Any) -> None:
        self.addresses: dict[str, Sequence[str]] = {"backend.example": [OUTSIDE]}
        self.asked: list[httpx.Request] = []
        self.now = 1000.0
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(
            200, json={"keys": [PUBLIC]}
        )
        self.sets = KeySets(
            resolve=self._resolve,
            transport=httpx.MockTransport(self._handle),
            clock=lambda: self.now,
            **options,
        )

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        return self.addresses.get(host) or [host.strip("[]")]

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer(request)

    async def kids(self, uri: str = URI, kid: str = "k1") -> set[str | None]:
        """The kids that are found at the address."""
        return {key.kid for key in (await self.sets.get(uri, kid)).keys}


@pytest.fixture
def site() -> Site:
    return Site()


async def test_the_connection_goes_to_the_address_that_was_checked(site: Site) -> None:
    assert await site.kids() == {"k1"}
    (request,) = site.asked
    assert request.url.host == OUTSIDE
    assert request.headers["host"] == "backend.example"
    assert request.extensions["sni_hostname"] == "backend.example"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:db8::1",
    ],
)
async def test_an_address_that_points_inward_is_never_asked(site: Site, address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    # One inward address among public ones is enough to refuse: which one is taken must not be chance.
    site.addresses["backend.example"] = [OUTSIDE, address]
    literal = f"[{address}]" if ":" in address else address
    for uri in (URI, f"https://{literal}/keys"):
        with pytest.raises(KeysUnavailableError):
            await site.kids(uri)
    assert site.asked == []


@pytest.mark.parametrize(
    "uri",
    ["http://backend.example/k", "http://127.0.0.1/k", "file:///etc/passwd", "https://a@b.example/k", ""],
)
async def test_only_https_addresses_are_asked(site: Site, uri: str) -> None:
    with pytest.raises(KeysUnavailableError):
        await site.kids(uri)
    assert site.asked == []


async def test_this_machine_is_asked_only_where_a_setting_says_so() -> None:
    site = Site(allow_loopback=True)
    assert await site.kids("http://127.0.0.1:9/keys") == {"k1"}
    with pytest.raises(KeysUnavailableError):
        await site.kids("https://10.0.0.1/keys")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"location": "https://backend.example/other"}),
        httpx.Response(404, json={"keys": [PUBLIC]}),
        httpx.Response(200, content=b" " * 70000),
        httpx.Response(200, content=b"no json"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": []}),
        httpx.Response(200, json={"keys": [KEY.as_dict(private=True)]}),
        httpx.Response(200, json={"keys": [OctKey.generate_key(parameters={"kid": "k1"}).as_dict()]}),
        httpx.Response(200, json={"keys": [PUBLIC | {"use": "enc"}]}),
        httpx.Response(200, json={"keys": [{"kty": "RSA", "kid": "k1", "e": "AQAB", "n": "x" * 171}]}),
    ],
)
async def test_an_answer_without_usable_keys_proves_nobody(site: Site, answer: httpx.Response) -> None:
    site.answer = lambda _: answer
    with pytest.raises(KeysUnavailableError):
        await site.kids()
    assert len(site.asked) == 1, "no redirect is followed"


async def test_keys_are_kept_as_long_as_they_say_within_bounds(site: Site) -> None:
    for said, kept in (("max-age=300", 300), ("max-age=1", 60), ("no-store", 60), ("max-age=9999999", 3600)):
        site.answer = lambda _, said=said: httpx.Response(  # type: ignore[misc]
            200, json={"keys": [PUBLIC]}, headers={"cache-control": said}
        )
        site.now += 10_000
        before = len(site.asked)
        await site.kids()
        site.now += kept - 1
        await site.kids()
        assert len(site.asked) == before + 1, said
        site.now += 2
        await site.kids()
        assert len(site.asked) == before + 2, said


async def test_an_unknown_key_asks_again_once_a_minute(site: Site) -> None:
    await site.kids()
    for _ in range(20):
        assert await site.kids(kid="k2") == {"k1"}
    assert len(site.asked) == 1
    rotated = ECKey.generate_key("P-384", {"kid": "k2"}).as_dict(private=False)
    site.answer = lambda _: httpx.Response(200, json={"keys": [PUBLIC, rotated]})
    site.now += AGAIN_S + 1
    assert await site.kids(kid="k2") == {"k1", "k2"}
    assert len(site.asked) == 2


async def test_after_a_failure_the_old_keys_prove_nothing(site: Site) -> None:
    await site.kids()
    good = site.answer

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down", request=request)

    site.answer = fail
    site.now += 10_000
    for _ in range(5):
        with pytest.raises(KeysUnavailableError):
            await site.kids()
    assert len(site.asked) == 2, "an address that failed is left alone for a while"
    site.answer = good
    site.now += FAILED_S + 1
    assert await site.kids() == {"k1"}


async def test_many_at_once_ask_once(site: Site) -> None:
    found = await asyncio.gather(*(site.kids() for _ in range(20)))
    assert found == [{"k1"}] * 20
    assert len(site.asked) == 1
    assert json.loads(site.answer(site.asked[0]).content)["keys"] == [PUBLIC]
