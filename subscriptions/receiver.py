"""The endpoints that HAPI's rest-hooks and the facade's wake-ups reach: take type, id and version, enqueue,
answer.

The body of a notification is not read: the job reads the resource again. The answer is empty, because HAPI
takes a body that is no FHIR for a failure and delivers again. If Redis is down the answer is 503: HAPI tries
again for a minute, and reconcile finds whatever is still missing after that.
"""

import asyncio
import hmac
import logging
import re

import redis.exceptions
from fastapi import APIRouter, Request, Response

from subscriptions.errors import JobNotAllowedError, QueueUnavailableError
from subscriptions.names import SECRET_HEADER, WAKE_CHANNEL
from subscriptions.queue import JobQueue
from subscriptions.topics import TOPICS

router = APIRouter()

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_VERSION = re.compile(r'W/"(\d{1,18})"')
_log = logging.getLogger(__name__)

_EMPTY, _FORBIDDEN, _NOT_FOUND, _UNAVAILABLE = 204, 403, 404, 503


def _is_authentic(request: Request) -> bool:
    secret: bytes = request.state.secret
    return hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode("latin-1"), secret)


@router.api_route("/hooks/{topic_name}/{type_}/{id_}", methods=["PUT", "POST"])
async def hook(request: Request, topic_name: str, type_: str, id_: str) -> Response:
    """One notification of HAPI."""
    if not _is_authentic(request):
        return Response(status_code=_FORBIDDEN)
    topic = TOPICS.get(topic_name)
    if topic is None or type_ != topic.type or not _ID.fullmatch(id_):
        return Response(status_code=_NOT_FOUND)
    found = _VERSION.fullmatch(request.headers.get("if-match", ""))
    queue: JobQueue = request.state.queue
    try:
        for name, *arguments in topic.calls(type_, id_, found.group(1) if found else "0"):
            await asyncio.to_thread(queue.enqueue, name, *arguments)
    except QueueUnavailableError:
        _log.warning("a notification was refused, because Redis does not answer", extra={"topic": topic_name})
        return Response(status_code=_UNAVAILABLE, headers={"Retry-After": "1"})
    except JobNotAllowedError:
        return Response(status_code=_NOT_FOUND)
    return Response(status_code=_EMPTY)


@router.post("/wake")
async def wake(request: Request) -> Response:
    """Something new lies in Orthanc: ingest need not wait for its next look."""
    if not _is_authentic(request):
        return Response(status_code=_FORBIDDEN)
    try:
        await asyncio.to_thread(request.state.redis.publish, WAKE_CHANNEL, b"1")
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
        return Response(status_code=_UNAVAILABLE, headers={"Retry-After": "1"})
    return Response(status_code=_EMPTY)


@router.get("/health/live")
async def live() -> Response:
    """The process answers."""
    return Response(status_code=_EMPTY)
