"""An authorization server of its own for each test: real SQLite file, real Redis, reached over ASGI."""

import getpass
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy.engine import make_url
from starlette.applications import Starlette
from starlette.routing import Mount

from smart_auth import clients, routes
from smart_auth.service import SMARTAuth
from tests.smart_auth import strangers
from tests.smart_auth.flow import (
    ORIGIN,
    REDIRECT,
    SCOPE,
    WEB_REDIRECT,
    Recorder,
    log_in,
    new_browser,
    new_user,
    settings_for,
)
from tests.smart_auth.hospital import Hospital, encounter, patient
from tests.smart_auth.quick import cheap_secrets, made_keys, tables_in  # noqa: F401


# Of a module: where Redis was killed on purpose, connections of before are gone.
@pytest.fixture(scope="module")
async def redis(redis_server: Any) -> AsyncIterator[Redis]:
    """A Redis database that nothing else uses."""
    client = Redis.from_url(redis_server.redis_url, db=11)
    yield client
    await client.flushdb()
    await client.aclose()


@pytest.fixture
def recorder() -> Recorder:
    """The audit trail of a test."""
    return Recorder()


@pytest.fixture
def hospital() -> Hospital:
    """Two patients with a visit each."""
    hospital = Hospital()
    hospital.add(
        patient("p1", "홍길동", "M-1", "1971-02-03"),
        patient("p2", "Demo Second", "M-2"),
        patient("own", "Demo Own", "M-3"),
        encounter("e1", "p1"),
        encounter("e2", "p2"),
        encounter("e3", "own"),
    )
    return hospital


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Where the server of a test keeps its tables; a module may say otherwise."""
    return tables_in(tmp_path)


@pytest.fixture
def mariadb_url(mariadb: Any) -> Iterator[str]:
    """An empty database on MariaDB."""
    server = make_url(mariadb.openemr_url)
    _as_root(
        mariadb,
        "CREATE OR REPLACE DATABASE smart_auth_test; "
        f"GRANT ALL ON smart_auth_test.* TO '{server.username}'@'127.0.0.1'",
    )
    yield server.set(database="smart_auth_test").render_as_string(hide_password=False)
    _as_root(mariadb, "DROP DATABASE smart_auth_test")


@pytest.fixture
async def auth(
    tmp_path: Path,
    database_url: str,
    keys_dir: Path,
    redis: Redis,
    recorder: Recorder,
    hospital: Hospital,
) -> AsyncIterator[SMARTAuth]:
    """A started server with one public, trusted client named `demo-app`."""
    await redis.flushdb()
    settings = settings_for(tmp_path, "unix:///unused", keys_dir=keys_dir, database_url=database_url)
    service = SMARTAuth(settings, redis=redis, on_event=recorder)
    service.directory = hospital
    await service.start()
    clients.register(
        service.database,
        "demo-app",
        kind="public",
        name="Demo",
        scope=SCOPE,
        redirect_uris=[REDIRECT],
        trusted=True,
    )
    service.feed.refresh()
    yield service
    await service.stop()


@pytest.fixture
def app(auth: SMARTAuth) -> Starlette:
    """The routes as the facade mounts them."""
    return Starlette(routes=[Mount("/auth", routes=routes.build(auth))])


@pytest.fixture
async def browser(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A browser: keeps cookies, does not follow redirects by itself."""
    async with new_browser(app) as client:
        yield client


@pytest.fixture
def stranger(auth: SMARTAuth) -> str:
    """An app that is not the hospital's own."""
    clients.register(
        auth.database,
        "stranger",
        kind="public",
        name="Stranger",
        scope=strangers.SCOPE,
        redirect_uris=[WEB_REDIRECT],
    )
    auth.feed.refresh()
    return "stranger"


@pytest.fixture
async def admin(auth: SMARTAuth, app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """The browser of the administrator `demo-admin`, as the product's own pages use it."""
    new_user(auth, "demo-admin", "admin")
    async with new_browser(app) as client:
        await log_in(client, "demo-admin")
        csrf = (await client.get("/auth/me")).json()["csrf"]
        client.headers.update({"Origin": ORIGIN, "X-CSRF-Token": csrf})
        yield client


@pytest.fixture
async def admin_id(admin: httpx.AsyncClient) -> str:
    """The administrator's id."""
    return str((await admin.get("/auth/me")).json()["user"])


def _as_root(mariadb: Any, statements: str) -> None:
    """The server's root is the system user who runs the stack, through the private socket."""
    user = "root" if os.geteuid() == 0 else getpass.getuser()
    socket = f"--socket={mariadb.var}/run/mariadb.sock"
    subprocess.run(["mariadb", "--no-defaults", socket, f"--user={user}", "-e", statements], check=True)
