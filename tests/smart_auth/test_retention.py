"""What is over is forgotten; what lives is kept."""

import time

import httpx
import pytest
from sqlalchemy import select, update

from smart_auth import retention
from smart_auth.models import GrantFamily, Link, RefreshToken
from smart_auth.service import SMARTAuth
from tests.smart_auth.flow import (
    Flow,
    log_in,
    new_user,
    row_counts,
)
from tests.smart_auth.test_assertion import back_end, claims, key, old_memory, post, sign  # noqa: F401

pytestmark = pytest.mark.server


async def test_the_list_of_sessions_forgets_without_being_looked_at(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    user_id = new_user(auth, "demo-doctor", "doctor")
    long_ago = int(time.time()) - auth.settings.session_s - 1
    for number in range(5):
        await auth.store.note(f"sessions:{user_id}", f"old{number}", long_ago, lifetime_s=1000)
    await log_in(browser, "demo-doctor")
    assert len(await auth.store.noted(f"sessions:{user_id}")) == 1


async def test_what_is_over_is_forgotten_and_what_lives_is_kept(
    auth: SMARTAuth, browser: httpx.AsyncClient
) -> None:
    new_user(auth, "demo-doctor", "doctor")
    flow = Flow(browser)
    over, ended = [await flow.tokens("demo-doctor") for _ in range(2)]
    past = int(time.time()) - retention.KEEP_S - 1
    with auth.database.write() as session:
        first, second = session.scalars(select(GrantFamily.id).order_by(GrantFamily.created_at)).all()
        session.execute(update(GrantFamily).where(GrantFamily.id == first).values(expires_at=past))
        session.execute(update(GrantFamily).where(GrantFamily.id == second).values(ended_at=past))
        session.execute(update(Link).values(expires_at=past))
    auth.grants._forgot = float("-inf")
    alive = await flow.tokens("demo-doctor")
    alive = (await flow.refresh(alive["refresh_token"])).json()
    assert row_counts(auth, GrantFamily, RefreshToken, Link) == [1, 2, 0]
    for token in (over, ended):
        assert (await flow.refresh(token["refresh_token"])).json()["error"] == "invalid_grant"
    assert "access_token" in (await flow.refresh(alive["refresh_token"])).json()
