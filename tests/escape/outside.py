"""The suite against a server that is reached over HTTP: requests go out as they are written."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.escape.oracle import Answer, Labels
from tests.escape.suite import Caller, Suite
from tests.escape.worlds import Case, Names, nobody

_TIMEOUT_S = 60
_MOST_WAITS = 60


class OutsideDoor:
    """HTTP/1.1, one connection a request; what it costs behind the door cannot be seen."""

    def __init__(self, address: str) -> None:
        """`address` names scheme, host and port."""
        parts = urlsplit(address)
        self._host = parts.netloc
        self._connection = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request; again where it comes too fast, or a busy server asks for patience."""
        for _ in range(_MOST_WAITS):
            answer = await asyncio.to_thread(self._send, method, target, headers, body)
            if answer.status not in (http.client.TOO_MANY_REQUESTS, http.client.SERVICE_UNAVAILABLE):
                break
            await asyncio.sleep(1)
        return answer

    def _send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        connection = self._connection(self._host, timeout=_TIMEOUT_S)
        try:
            named = {name.lower() for name in headers}
            # What is not ASCII cannot stand in a request line.
            connection.putrequest(
                method, quote(target, safe="".join(map(chr, range(33, 127)))), skip_host="host" in named
            )
            for name, value in headers.items():
                connection.putheader(name, value)
            if body or method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            # To hang up or to say nothing is an answer too, if it is the same one in both worlds.
            return Answer(0, {}, type(error).__name__.encode())
        finally:
            connection.close()


def suite(base: str, credentials: Path) -> Suite:
    """A server that somebody else runs, with what a file says of its patients and tokens (README.md)."""
    given: dict[str, Any] = json.loads(credentials.read_text())
    parts = urlsplit(base)
    always: Names = given.get("headers", {})
    callers = {
        name: Caller(_case(given, name), *_tokens(given["tokens"][name], always)) for name in given["tokens"]
    }
    callers["nobody"] = Caller(_case(given, "nobody"), always, always)
    return Suite(
        OutsideDoor(base), callers, base=parts.path.rstrip("/"), origin=f"{parts.scheme}://{parts.netloc}"
    )


def _tokens(given: Any, always: Names) -> tuple[Names, Names]:
    pair = [given, given] if isinstance(given, str) else [given["world"], given["twin"]]
    first, second = ({**always, "Authorization": f"Bearer {token}"} for token in pair)
    return first, second


def _case(given: Mapping[str, Any], name: str) -> Case:
    """One caller's worlds: the foreign values as they are, and values of the same form that nobody has."""
    own: Names = given.get("own", {})
    twin: Names = given.get("twin", own)
    foreign: Names = given["foreign"]
    nowhere = {label: nobody(label, value) for label, value in foreign.items()}
    known = set(given.get("known", ()))
    labels = {value: f"(own.{label})" for names in (own, twin) for label, value in names.items()}
    labels |= {value: f"(foreign.{label})" for names in (foreign, nowhere) for label, value in names.items()}

    def blanks(mine: Names, theirs: Names) -> Names:
        sides = {"own": mine, "other": foreign, "foreign": theirs}
        return {f"{side}.{label}": value for side, names in sides.items() for label, value in names.items()}

    return Case(
        world=blanks(own, foreign),
        twin=blanks(twin, nowhere),
        secrets={value: f"foreign.{label}" for label, value in foreign.items() if label not in known},
        labels=Labels(labels),
    )
