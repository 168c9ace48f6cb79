"""Job `notify`: a change goes to the facade's processes, which decide for each open WebSocket who may hear
of it.
"""

import asyncio
import json

from subscriptions.clients import Clients
from subscriptions.names import NOTIFICATION_CHANNEL


async def notify(type_: str, id_: str, version: str, clients: Clients) -> None:
    """Publish type, id and version, and nothing of the content. Nobody listening is no error."""
    message = json.dumps({"type": type_, "id": id_, "version": version})
    await asyncio.to_thread(clients.redis.publish, NOTIFICATION_CHANNEL, message)
