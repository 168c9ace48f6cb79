"""Asks each program a real question; a process that runs is not yet one that answers."""

import http.client
import json
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import redis

from deploy.environment import redis_url
from deploy.errors import NotReadyError
from deploy.settings import Settings
from deploy.supervise import State, Supervisor

TIMEOUT_S = 5
Check = Callable[[Settings, Mapping[str, str]], None]


class _NotYetError(Exception):
    """The program answered, and says that it is not ready."""


def check(settings: Settings, secrets: Mapping[str, str], state: State) -> str:
    """Why the program is not ready; empty when it is."""
    if not state.is_running:
        return state.state.lower()
    question = QUESTIONS.get(state.name, _heartbeat(state) if state.name.startswith("worker-") else None)
    if question is None:
        return ""
    try:
        question(settings, secrets)
    except _NotYetError as error:
        return str(error)
    except (OSError, http.client.HTTPException, redis.RedisError, pymysql.Error) as error:
        return type(error).__name__
    return ""


def wait(
    settings: Settings, secrets: Mapping[str, str], names: Iterable[str], timeout_s: float
) -> dict[str, float]:
    """Wait until every program is ready; answers the seconds that each took."""
    supervisor = Supervisor(settings.var)
    begin = time.monotonic()
    took: dict[str, float] = {}
    waiting = dict.fromkeys(names, "not started")
    while waiting:
        states = supervisor.states()
        for name in list(waiting):
            waiting[name] = check(settings, secrets, states[name])
            if not waiting[name]:
                took[name] = time.monotonic() - begin
                del waiting[name]
        if waiting and time.monotonic() - begin > timeout_s:
            what = ", ".join(f"{name} ({why})" for name, why in waiting.items())
            raise NotReadyError(
                f"not ready after {timeout_s:.0f} s: {what}",
                do="read the log's last lines; `make status` shows the present state",
                log=settings.var / "log" / f"{next(iter(waiting))}.log",
            )
        if waiting:
            time.sleep(0.1)
    return took


def _redis(settings: Settings, secrets: Mapping[str, str]) -> None:
    with redis.Redis.from_url(redis_url(settings), socket_timeout=TIMEOUT_S) as client:
        client.ping()


def _mariadb(settings: Settings, secrets: Mapping[str, str]) -> None:
    connection = pymysql.connect(
        host="127.0.0.1",
        port=settings.mariadb_port,
        user="openemr",
        password=secrets["mariadb-openemr"],
        database="openemr",
        connect_timeout=TIMEOUT_S,
        ssl_disabled=True,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _hapi(settings: Settings, secrets: Mapping[str, str]) -> None:
    # /metadata answers before the store can: only a search proves it.
    headers = {"X-NeuroNova-Secret": secrets["hapi-facade"], "Accept": "application/fhir+json"}
    _expect(200, _tcp(settings.hapi_port), "/fhir/Patient?_count=1&_offset=0", headers)


def _orthanc(settings: Settings, secrets: Mapping[str, str]) -> None:
    login = b64encode(f"imaging:{secrets['orthanc-imaging']}".encode()).decode()
    _expect(200, _tcp(settings.orthanc_port), "/system", {"Authorization": f"Basic {login}"})


def _facade(settings: Settings, secrets: Mapping[str, str]) -> None:
    _answers(_Unix(settings.var / "run" / "facade.sock"), "/health/live")


def _pixels(settings: Settings, secrets: Mapping[str, str]) -> None:
    _answers(_Unix(settings.var / "run" / "pixels.sock"), "/")


def _receiver(settings: Settings, secrets: Mapping[str, str]) -> None:
    _answers(_tcp(settings.receiver_port), "/")


def _shipper(settings: Settings, secrets: Mapping[str, str]) -> None:
    if not (settings.var / "run" / "access.sock").is_socket():
        raise _NotYetError("its socket is not there")


def _nginx(settings: Settings, secrets: Mapping[str, str]) -> None:
    """nginx alone: its own page. What stands behind it is `product`'s question."""
    if settings.tls_certificate:
        _answers(_tcp(settings.http_port), "/")
    else:
        _expect(200, _tcp(settings.http_port), "/", {})


def product(settings: Settings) -> str:
    """Whether the public door says that the product is ready; else what it names."""
    parts = urlsplit(settings.base_url)
    if parts.scheme == "https":
        return (
            ""  # Its certificate is made for browsers elsewhere; the programs' own questions were answered.
        )
    try:
        status, body = _get(_tcp(settings.http_port), "/health/ready", {})
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    return "" if status == 200 else body.decode(errors="replace")[:500]


def _heartbeat(state: State) -> Check:
    """A worker is ready when its registration in Redis carries this process's number (RQ's worker hash)."""

    def question(settings: Settings, secrets: Mapping[str, str]) -> None:
        with redis.Redis.from_url(redis_url(settings), socket_timeout=TIMEOUT_S) as client:
            keys = client.smembers("rq:workers")
            pids = {client.hget(key, "pid") for key in keys}
        if str(state.pid).encode() not in pids:
            raise _NotYetError("has not registered")

    return question


QUESTIONS: Mapping[str, Check] = {
    "redis": _redis,
    "mariadb": _mariadb,
    "hapi": _hapi,
    "orthanc": _orthanc,
    "nginx": _nginx,
    "facade": _facade,
    "pixels": _pixels,
    "receiver": _receiver,
    "audit-shipper": _shipper,
}


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = str(path)

    def connect(self) -> None:
        # Kept at once, so that close() also ends an attempt that failed.
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


def _tcp(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)


def _get(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _expect(
    status: int, connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]
) -> None:
    got, _ = _get(connection, path, headers)
    if got != status:
        raise _NotYetError(f"answers {got}")


def _answers(connection: http.client.HTTPConnection, path: str) -> None:
    got, _ = _get(connection, path, {})
    if got >= 500:
        raise _NotYetError(f"answers {got}")


def dependencies(text: str) -> str:
    """The names that a readiness answer says are down, for one line of output."""
    try:
        body = json.loads(text)
    except ValueError:
        return text
    parts = body.get("dependencies", body) if isinstance(body, dict) else {}
    down = [name for name, value in parts.items() if value not in (True, "ok", "up", "ready")]
    return ", ".join(map(str, down))
