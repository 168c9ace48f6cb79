"""What ended is refused by every facade process within a second, whatever was lost or restarted."""

import os
import socket as socket_
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.app import App, SignInError
from deploy import programs
from deploy.settings import ROOT
from smart_auth import clients, users
from smart_auth.database import Database
from tests.servers.stack import Stack, wait_for
from tests.smart_auth.product import PASSWORD, command, known, new_user

pytestmark = pytest.mark.server
REDIRECT = "http://127.0.0.1:9995/callback"
# The state is read every half second and trusted for one; the rest is for a busy machine.
SOON_S = 5


@pytest.fixture(scope="module")
def stack(servers: Stack) -> Stack:
    return servers.need("redis", "hapi", "nginx", "facade")


@pytest.fixture(scope="module")
def second(stack: Stack) -> Iterator[Path]:
    """Another facade process of the same installation, on a socket of its own."""
    socket = stack.var / "run" / "facade-2.sock"
    process = subprocess.Popen(
        [programs.FACADE, *programs.UVICORN, "--uds", str(socket), "facade.app:create"],
        cwd=ROOT,
        env={**os.environ, **stack.variables("facade")},
    )
    try:
        wait_for(lambda: answers(socket, "/health/live") == 200, "the second facade", timeout_s=60)
        yield socket
    finally:
        process.terminate()
        process.wait(30)
        socket.unlink(missing_ok=True)


def answers(socket: Path, path: str, token: str = "") -> int:
    """Status of a GET at a process's own socket; 0 while it is not there."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # Asked before: httpx leaves its socket open when nobody listens.
    with socket_.socket(socket_.AF_UNIX) as probe:
        if probe.connect_ex(str(socket)):
            return 0
    try:
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket), verify=False), base_url="http://localhost"
        ) as client:
            return client.get(path, headers=headers).status_code
    except httpx.TransportError:
        return 0


def sign_in(app: App, username: str) -> dict[str, Any]:
    session = app.sign_in(username, PASSWORD)
    session.browser.close()
    return session.token


class Case:
    """One person and one client of their own, with a token."""

    def __init__(self, stack: Stack, name: str) -> None:
        name = f"{name}-{time.time_ns()}"
        self.stack, self.user, self.client = stack, f"{name}-nurse", f"{name}-app"
        new_user(stack, self.user, "nurse", fhir_user="Practitioner/n")
        command(
            stack, "clients", "add", "--name", name, "--client-id", self.client, "--trusted",
            "--redirect-uri", REDIRECT, "--scope", "openid offline_access user/*.rs", "--json",
        )  # fmt: skip
        known(stack, self.client, REDIRECT)
        self.app = App(stack.base_url, self.client, REDIRECT, "openid offline_access user/*.rs")
        self.token = wait_for(self._signed_in, "a token", timeout_s=SOON_S)

    def _signed_in(self) -> dict[str, Any] | None:
        try:
            return sign_in(self.app, self.user)
        except (SignInError, httpx.HTTPStatusError):
            return None

    def statuses(self, second: Path) -> set[int]:
        """What both processes say to the token."""
        token = self.token["access_token"]
        first = self.stack.var / "run" / "facade.sock"
        return {answers(socket, "/auth/userinfo", token) for socket in (first, second)}


def revoke(case: Case) -> None:
    form = {"token": case.token["access_token"], "client_id": case.client}
    httpx.post(f"{case.stack.base_url}/auth/revoke", data=form).raise_for_status()


def disable_user(case: Case) -> None:
    database = Database(f"sqlite:///{case.stack.var}/smart_auth.db")
    user = users.find(database, case.user)
    assert user is not None
    users.set_disabled(database, user.id, disabled=True, actor=None)
    database.close()


def disable_client(case: Case) -> None:
    command(case.stack, "clients", "disable", case.client)


def lower_ceiling(case: Case) -> None:
    command(case.stack, "clients", "set", case.client, "--scope", "openid")


@pytest.mark.parametrize("end", [revoke, disable_user, disable_client, lower_ceiling])
def test_what_ended_is_refused_everywhere_and_stays_so(
    stack: Stack, second: Path, end: Callable[[Case], None]
) -> None:
    name = end.__name__.replace("_", "-")
    case = Case(stack, name)
    assert wait_for(lambda: case.statuses(second) == {200}, "both accept it", timeout_s=SOON_S)
    end(case)
    wait_for(lambda: case.statuses(second) == {401}, "both refuse it", timeout_s=SOON_S)
    if end is disable_client:
        database = Database(f"sqlite:///{stack.var}/smart_auth.db")
        clients.set_disabled(database, case.client, disabled=False)
        database.close()
        known(stack, case.client, REDIRECT)
        assert case.statuses(second) == {401}, "enabling a client gives nothing back"


def test_nothing_comes_back_after_redis_lost_everything_or_the_facade_was_killed(
    stack: Stack, second: Path
) -> None:
    case, living = Case(stack, "survivor"), Case(stack, "living")
    revoke(case)
    wait_for(lambda: case.statuses(second) == {401}, "both refuse it", timeout_s=SOON_S)
    stack.stop("redis")
    for file in (stack.var / "redis").rglob("*"):
        if file.is_file():
            file.unlink()
    stack.start("redis")
    assert case.statuses(second) == {401}
    wait_for(lambda: living.statuses(second) == {200}, "the other one goes on", timeout_s=60)
    stack.kill("facade")
    stack.wait_ready("facade")
    assert case.statuses(second) == {401}
    assert living.statuses(second) == {200}
    form = {"grant_type": "refresh_token", "client_id": living.client}
    answer = httpx.post(
        f"{stack.base_url}/auth/token", data=form | {"refresh_token": living.token["refresh_token"]}
    )
    assert answer.status_code == 200, "offline access is in the database"
    again = httpx.post(
        f"{stack.base_url}/auth/token", data=form | {"refresh_token": living.token["refresh_token"]}
    )
    assert again.json()["error"] == "invalid_grant", "and so is what was used"
    wait_for(lambda: living.statuses(second) == {401}, "the family has ended", timeout_s=SOON_S)
