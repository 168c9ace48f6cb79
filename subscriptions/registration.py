"""Registers the Subscriptions in HAPI and repairs broken ones; safe to run at any time and as often as
liked.
"""

import asyncio
import logging

from facade.errors import HAPIConflictError, HAPIError, HAPIGoneError, HAPINotFoundError
from facade.hapi import HAPIClient
from subscriptions.topics import TOPICS, is_intact, subscription

CHECK_EVERY_S = 60
"""HAPI switches a subscription off when it cannot use it, and says so nowhere else."""

RETRY_EVERY_S = 2

_log = logging.getLogger(__name__)


async def register(hapi: HAPIClient, receiver_url: str, secret: str) -> list[str]:
    """Make every Subscription of the table exist and be intact; returns the names of those that were written.

    :raises HAPIError: HAPI did not answer or refused
    """
    written = []
    for topic in TOPICS.values():
        wanted = subscription(topic, receiver_url, secret)
        try:
            stored = await hapi.read("Subscription", topic.subscription_id)
        except (HAPINotFoundError, HAPIGoneError):
            stored = None
        if stored is not None and is_intact(stored, wanted):
            continue
        try:
            await hapi.update(wanted)
        except HAPIConflictError:
            continue  # another receiver is doing the same at this moment; the next check sees the result
        written.append(topic.name)
    return written


async def keep_registered(hapi: HAPIClient, receiver_url: str, secret: str) -> None:
    """Register as soon as HAPI answers, then look again every minute until cancelled."""
    waiting = False
    while True:
        try:
            written = await register(hapi, receiver_url, secret)
        except HAPIError as error:
            if not waiting:
                _log.warning(
                    "waiting for HAPI to register the subscriptions", extra={"error_code": error.code}
                )
            waiting = True
            await asyncio.sleep(RETRY_EVERY_S)
            continue
        if written or waiting:
            _log.info("subscriptions are registered", extra={"topics": written})
        waiting = False
        await asyncio.sleep(CHECK_EVERY_S)
