"""Passwords are checked a few at a time; who comes when every place is taken has not failed."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from sqlalchemy import func, select

from smart_auth import users
from smart_auth.hashing import PLACES, BusyError, Hashing
from smart_auth.models import LoginFailure
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import ORIGIN, PASSWORD, csrf_of, log_in, new_user, without_nonce

FORM = {"password": PASSWORD, "password_again": PASSWORD, "password_old": PASSWORD}


async def test_few_run_few_wait_and_the_next_is_sent_away() -> None:
    hashing, go, started = Hashing(threads=2, places=3), threading.Event(), threading.Semaphore(0)

    def slow(number: int) -> int:
        started.release()
        go.wait(20)
        return number

    async def one(number: int) -> int:
        with hashing.place() as in_place:
            return int(await in_place(slow, number))

    held = [asyncio.create_task(one(number)) for number in range(3)]
    for _ in range(2):
        assert await asyncio.to_thread(started.acquire, timeout=20)
    with pytest.raises(BusyError):
        await one(3)
    assert not started.acquire(blocking=False)
    go.set()
    assert sorted(await asyncio.gather(*held)) == [0, 1, 2]
    assert await one(4) == 4


async def test_a_place_comes_back_when_the_work_fails() -> None:
    hashing = Hashing(places=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), hashing.place() as in_place:
            await in_place(divmod, 1, 0)


@pytest.fixture
def full(auth: SMARTAuth) -> Iterator[ExitStack]:
    """Every place is taken; `close` frees them."""
    with ExitStack() as taken:
        for _ in range(PLACES):
            taken.enter_context(auth.hashing.place())
        yield taken


@pytest.mark.server
async def test_a_login_that_finds_no_place_is_told_so_and_is_no_failure(
    auth: SMARTAuth, browser: httpx.AsyncClient, full: ExitStack
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    right = await log_in(browser, "demo-doctor")
    wrong = await log_in(browser, "demo-doctor", "not the password")
    unknown = await log_in(browser, "demo-nobody", "not the password")
    assert [answer.status_code for answer in (right, wrong, unknown)] == [503, 503, 503]
    assert right.headers["retry-after"] == "2"
    assert "Too many people are logging in" in right.text
    assert without_nonce(right.text) == without_nonce(wrong.text) == without_nonce(unknown.text)
    browser.headers["Accept-Language"] = "ko"
    assert "로그인하는 사람이 너무 많습니다" in (await log_in(browser, "demo-doctor")).text
    body = {"username": "demo-doctor", "password": PASSWORD}
    answer = await browser.post("/auth/login", json=body, headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"] == "temporarily_unavailable"
    with auth.database.read() as session:
        assert session.scalar(select(func.count()).select_from(LoginFailure)) == 0
    full.close()
    assert (await log_in(browser, "demo-doctor")).status_code == 303


@pytest.mark.server
async def test_everything_that_hashes_waits_in_the_same_queue(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    setup = users.bootstrap(auth.database)
    invitation = users.create(auth.database, "demo-nurse", "nurse").code
    new_user(auth, "demo-doctor", "doctor")
    await log_in(browser, "demo-doctor")
    own = {"csrf": csrf_of(await browser.get("/auth/account/password")), "do": "on"}
    await browser.get("/auth/account/second-factor")
    before = {"csrf": csrf_of(await browser.get("/auth/setup")), "code": setup, "username": "demo-admin"}
    asked = {
        "/auth/setup": before,
        f"/auth/invite/{invitation}": before,
        "/auth/account/password": own,
        "/auth/account/second-factor": own,
    }
    with ExitStack() as taken:
        for _ in range(PLACES):
            taken.enter_context(auth.hashing.place())
        for path, form in asked.items():
            answer = await browser.post(path, data=FORM | form, headers={"Origin": ORIGIN})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2"), path
            assert "Too many people" in answer.text
    # Nothing was used up.
    assert (await browser.post("/auth/setup", data=FORM | before)).status_code == 200
    assert (await browser.post(f"/auth/invite/{invitation}", data=FORM | before)).status_code == 200
