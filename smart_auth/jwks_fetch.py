"""Public keys of clients that publish them at an address (`jwks_uri`): fetched carefully, kept for a while.

A registered address must not make this server ask inside the hospital (SSRF): every address that the name
resolves to must be public, and the connection goes to the very address that was checked, so that a second
answer of the name server changes nothing. No redirects, no proxy, small answers, little time. What cannot be
fetched proves nobody.
Sources: RFC 7517 section 5, RFC 9111 section 5.2 (max-age), SMART App Launch 2.2.0 "Registering a client
(communicating public keys)"; IANA special-purpose address registries; OWASP SSRF prevention.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from joserfc.jwk import KeySet

from smart_auth import untrusted
from smart_auth.client_rules import is_keys_address, usable_keys
from smart_auth.errors import RuleError, SMARTAuthError

MAX_BYTES = 65536
TIMEOUT_S = 5.0
MIN_AGE_S, DEFAULT_AGE_S, MAX_AGE_S = 60, 600, 3600
AGAIN_S = 60  # an unknown key makes us ask again at most so often
FAILED_S = 10  # an address that failed is left alone for so long
ADDRESSES = 256
TRIES = 4
# Public by the registries, and yet inside: NAT64, 6to4, and the host agent of a cloud.
_INSIDE = tuple(
    map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "168.63.129.16/32"))
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class KeysUnavailableError(SMARTAuthError):
    """The keys of a client could not be fetched; nothing is proved."""


@dataclass
class _Kept:
    keys: KeySet | None = None
    until: float = float("-inf")
    fetched: float = float("-inf")
    failed: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, asked of the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in found]


class KeySets:
    """The keys behind the addresses of one process's clients."""

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        resolve: Resolve = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`allow_loopback`: http and https of this machine too; for tests, and for nobody else."""
        self._allow_loopback = allow_loopback
        self._resolve = resolve
        self._transport = transport
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def get(self, uri: str, kid: object) -> KeySet:
        """The keys at this address, asked for again when none of them has this kid."""
        if uri not in self._kept and len(self._kept) >= ADDRESSES:
            self._kept.clear()
        kept = self._kept.setdefault(uri, _Kept())
        async with kept.lock:
            now = self._clock()
            if kept.keys is not None and now < kept.until:
                known = any(key.kid == kid for key in kept.keys.keys)
                if known or now - kept.fetched < AGAIN_S:
                    return kept.keys
            if now - kept.failed < FAILED_S:
                raise KeysUnavailableError
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    kept.keys, age_s = await self._fetch(uri)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError, RuleError) as error:
                kept.keys, kept.failed = None, now
                raise KeysUnavailableError from error
            kept.fetched, kept.until = now, now + age_s
            return kept.keys

    async def _fetch(self, uri: str) -> tuple[KeySet, float]:
        if not is_keys_address(uri, http_keys=self._allow_loopback):
            raise ValueError("not an address that keys are taken from")
        url = httpx.URL(uri)
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = [
            ipaddress.ip_address(text.partition("%")[0]) for text in await self._resolve(url.host, port)
        ]
        if not addresses or not all(map(self._is_allowed, addresses)):
            raise ValueError("the address points inward")
        async with httpx.AsyncClient(
            transport=self._transport, trust_env=False, follow_redirects=False, timeout=TIMEOUT_S
        ) as client:
            response = await _connect(client, url, addresses)
            try:
                return _public_keys(await _body(response)), _age_s(response.headers.get("cache-control", ""))
            finally:
                await response.aclose()

    def _is_allowed(self, address: Address) -> bool:
        return is_public(address) or (self._allow_loopback and address.is_loopback)


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if any(address in network for network in _INSIDE if network.version == address.version):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


async def _connect(client: httpx.AsyncClient, url: httpx.URL, addresses: Sequence[Address]) -> httpx.Response:
    """The answer of the first checked address that takes a connection (a name may have several)."""
    headers = {"Host": url.netloc.decode(), "Accept": "application/json", "Accept-Encoding": "identity"}
    # The certificate is checked for the name, not for the number that is connected to.
    extensions = {"sni_hostname": url.host}
    tried = list(dict.fromkeys(addresses))[:TRIES]
    for address in tried:
        there = url.copy_with(host=str(address))
        try:
            request = client.build_request("GET", there, headers=headers, extensions=extensions)
            return await client.send(request, stream=True)
        except httpx.ConnectError:
            if address == tried[-1]:
                raise
    raise ValueError("no address")


async def _body(response: httpx.Response) -> bytes:
    if response.status_code != 200 or "content-encoding" in response.headers:
        raise ValueError("no keys were answered, or in a form that was not asked for")
    body = b""
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_BYTES:
            raise ValueError("the answer is too large")
    return body


def _public_keys(body: bytes) -> KeySet:
    """What of the set can verify an assertion; a set may hold keys for other purposes."""
    parsed: Any = untrusted.loads(body)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ValueError("not a JWKS")
    usable = []
    for key in parsed["keys"][:64]:
        with suppress(RuleError):
            if isinstance(key, dict) and key.get("use", "sig") == "sig":
                usable += usable_keys({"keys": [key]}).keys
    if not usable:
        raise ValueError("no usable key")
    return KeySet(usable)


def _age_s(cache_control: str) -> float:
    if re.search(r"\bno-(?:store|cache)\b", cache_control):
        return MIN_AGE_S
    match = re.search(r"\bmax-age=([0-9]{1,9})\b", cache_control)
    return min(MAX_AGE_S, max(MIN_AGE_S, int(match[1]))) if match else DEFAULT_AGE_S
