"""What counts as a leak: a word that must not be said, or any difference between two answers.

Taken out before answers are compared: request ids, times of the server, the numbers of the trail's events
(they count what everybody does), and the ids that each world has in the same place. Everything else tells:
status, headers, totals, entries, order, error text, upstream calls. Of a running product the events that a
page shows of the caller's own trail are taken out too: each probe adds some, and a page is any 50 of them.
What they say is looked through all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Of the transport, or different in every answer.
_UNTOLD = frozenset(
    {"date", "server", "connection", "keep-alive", "transfer-encoding", "content-length", "x-request-id"}
    | {
        "set-cookie",
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    }
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_REQUEST_ID = re.compile(r"\b[0-9a-f]{32}\b")
_SOURCE = re.compile(r'"source":\s?"[^"]*"')  # Meta.source: the request that wrote it
_PAGE = re.compile(r'nonce[-=]"?[\w-]+"?|value="[^"]*"')  # of a page's forms and styles
_EVENT = re.compile(r"\bae-\d{12}\b")
_NEW = re.compile(r"/([A-Za-z0-9.-]{1,64})/_history/")
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


@dataclass(frozen=True)
class Answer:
    """What came back; `calls` are the kinds of upstream calls it took, None when they cannot be seen."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    calls: tuple[str, ...] | None = None


class Labels:
    """Values that mean the same in both worlds, and what is put in their place."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """`names`: value -> label."""
        self._names = names
        self._pattern = re.compile(
            "|".join(re.escape(value) for value in sorted(names, key=len, reverse=True))
        )

    def known(self, value: str, label: str) -> Labels:
        """The same labels and one more, unless the value has one."""
        return self if value in self._names else Labels({**self._names, value: label})

    def plain(self, text: str) -> str:
        """The text with labels for values, and without times and request ids."""
        text = _PAGE.sub("(page)", self._pattern.sub(lambda match: self._names[match[0]], text))
        text = _EVENT.sub("(event)", _SOURCE.sub('"source": ""', text))
        return _REQUEST_ID.sub("(request)", _TIME.sub("(time)", text))


def spoken(request: str, answer: Answer, secrets: Mapping[str, str]) -> list[str]:
    """Labels of secrets that the answer says although the request did not."""
    text = answer.body.decode("utf-8", "replace") + "\n" + "\n".join(answer.headers.values())
    return sorted({label for value, label in secrets.items() if value in text and value not in request})


def differences(first: Answer, second: Answer, same: Labels, *, is_ordered: bool) -> list[str]:
    """What tells the two answers apart."""
    found = []
    if first.status != second.status:
        found.append(f"status {first.status} or {second.status}")
    headers = [_headers(answer, _made(answer, same)) for answer in (first, second)]
    for name in sorted(headers[0].keys() | headers[1].keys()):
        if headers[0].get(name) != headers[1].get(name):
            found.append(f"header {name}: {headers[0].get(name)!r} or {headers[1].get(name)!r}")
    bodies = [_body(answer, _made(answer, same), is_ordered=is_ordered) for answer in (first, second)]
    if bodies[0] != bodies[1]:
        found.append(f"body {_apart(*bodies)}")
    if first.calls is not None and first.calls != second.calls:
        found.append(f"upstream {list(first.calls)} or {list(second.calls or ())}")
    return found


def _headers(answer: Answer, same: Labels) -> dict[str, str]:
    return {
        name.lower(): _HTTP_DATE.sub("(time)", same.plain(value))
        for name, value in answer.headers.items()
        if name.lower() not in _UNTOLD
    }


def _made(answer: Answer, same: Labels) -> Labels:
    """The labels, with one for the resource that this answer says it has made."""
    location = next((value for name, value in answer.headers.items() if name.lower() == "location"), "")
    match = _NEW.search(location)
    return same.known(match[1], "(new)") if match else same


def _body(answer: Answer, same: Labels, *, is_ordered: bool) -> str:
    text = same.plain(answer.body.decode("utf-8", "replace"))
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if answer.calls is None:
        value = _without_trail(value)
    if not is_ordered:
        value = _unordered(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _without_trail(value: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("entry"), list):
        return value
    entries = [one for one in value["entry"] if one.get("resource", {}).get("resourceType") != "AuditEvent"]
    return {**value, "entry": entries}


def _unordered(value: Any) -> Any:
    """Entries in an order of their own: ids are random, and pages are sorted by id."""
    if isinstance(value, list):
        return sorted((_unordered(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, dict):
        return {name: _unordered(item) for name, item in value.items()}
    return value


def _apart(first: str, second: str) -> str:
    """The place where two texts part, with a little of both."""
    at = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    begin = max(0, at - 60)
    return f"...{first[begin : at + 160]}... or ...{second[begin : at + 160]}..."
