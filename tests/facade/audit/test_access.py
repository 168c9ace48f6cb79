"""nginx's datagrams are read, whatever else comes to the socket."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from facade.audit.access import AccessLog, Answer, parse

LINE = b'<190>Nov 21 07:09:15 nginx: {"request_id":"%s","status":"200","bytes":"42"}'


def wait_for(log: AccessLog, request_id: str) -> Answer | None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if (answer := log.take(request_id)) is not None:
            return answer
    return None


def test_a_datagram_names_request_status_and_bytes() -> None:
    assert parse(LINE % b"abc") == ("abc", Answer(200, 42))
    assert parse(b'<190>x: {"request_id":"abc","status":"-","bytes":"1"}') is None
    assert parse(b"<190>x: no JSON") is None
    assert parse(b'{"request_id"') is None


def test_answers_are_received_and_given_out_once(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.sock")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nginx:
            nginx.sendto(b"rubbish", str(tmp_path / "access.sock"))
            for number in range(500):
                nginx.sendto(LINE % b"%d" % number, str(tmp_path / "access.sock"))
        assert wait_for(log, "499") == Answer(200, 42)
        assert log.take("0") == Answer(200, 42)
        assert log.take("0") is None
    finally:
        log.close()


def test_a_dead_shippers_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "access.sock"
    AccessLog(path).close()
    log = AccessLog(path)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nginx:
            nginx.sendto(LINE % b"a", str(path))
        assert wait_for(log, "a") == Answer(200, 42)
    finally:
        log.close()
