"""What is over and proves nothing any more is forgotten, so that the tables do not grow for ever.

A used refresh token is kept as long as its family may live: its second use has to be noticed. A family that
ended or expired is kept until its last access token is past. What is forgotten can only be refused: a row
gives a right, its absence never does. Source: RFC 9700 section 4.14.2 (what a replay is compared with).
"""

from __future__ import annotations

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from smart_auth.models import GrantFamily, Link, RefreshToken

KEEP_S = 2 * 86400  # longer than any access token
EVERY_S = 3600  # each process does it so often at most, with the next grant that it makes


def forget_grants(session: Session, now: int) -> None:
    """Drop families that are over with their refresh tokens, and one-time links that are past."""
    is_over = or_(GrantFamily.expires_at < now - KEEP_S, GrantFamily.ended_at < now - KEEP_S)
    over = select(GrantFamily.id).where(is_over)
    session.execute(delete(RefreshToken).where(RefreshToken.grant_id.in_(over)))
    session.execute(delete(GrantFamily).where(is_over))
    session.execute(delete(Link).where(Link.expires_at < now - KEEP_S))
