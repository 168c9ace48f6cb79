"""nginx's word on passed answers: one syslog datagram for each finished request, on a local socket.

The format is nginx's `access_log syslog:` (RFC 3164 header) with a JSON body that holds at least
`request_id`, `status` and `bytes`. A kernel keeps few unread datagrams of a Unix socket
(net.unix.max_dgram_qlen, often 10) and nginx never waits, so a thread of its own does nothing but receive.
What gets lost all the same makes an outcome "unconfirmed", never a wrong one.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

_MOST: Final = 200_000  # words kept for records that are still on the disk
_DATAGRAM: Final = 8192
_SWITCH_S: Final = 0.0005  # seconds; Python's default of 5 ms lets the socket's queue run over


@dataclass(frozen=True)
class Answer:
    """How a passed answer ended."""

    status: int
    body_bytes: int


def parse(datagram: bytes) -> tuple[str, Answer] | None:
    """Request id and answer of one datagram, or None if it is something else."""
    start = datagram.find(b"{")
    if start < 0:
        return None
    try:
        said: Any = orjson.loads(datagram[start:])
        return str(said["request_id"]), Answer(int(said["status"]), int(said["bytes"]))
    except (KeyError, TypeError, ValueError):
        return None


class AccessLog:
    """Receives datagrams in a thread; `take` gives an answer out once."""

    def __init__(self, path: Path) -> None:
        """`path` is replaced: the caller holds the shipper's lock, so a socket there is a dead one."""
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o660)
        sys.setswitchinterval(_SWITCH_S)
        self._thread = threading.Thread(target=self._receive, name="access-log", daemon=True)
        self._thread.start()

    def take(self, request_id: str) -> Answer | None:
        """nginx's word on this request, if it has come."""
        with self._lock:
            return self._answers.pop(request_id, None)

    def close(self) -> None:
        """Stop receiving."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)
        self._socket.close()

    def _receive(self) -> None:
        while True:
            try:
                datagram = self._socket.recv(_DATAGRAM)
            except OSError:
                return
            if not datagram:
                return  # shut down; nginx never sends an empty one
            if (found := parse(datagram)) is None:
                continue
            with self._lock:
                self._answers[found[0]] = found[1]
                if len(self._answers) > _MOST:
                    self._answers.popitem(last=False)
