"""What the reads left in the audit spool, and how fast the shipper brings it into the trail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from bench.installation import Installation
from bench.rows import Row, stated
from demo.run import wait_for

WATCH_S = 20.0
"""The whole backlog would take minutes at the shipper's bounded rate."""


def rows(product: Installation) -> Iterator[Row]:
    """Backlog after the load, and the drain rate over some seconds."""
    began = time.time()
    first = wait_for("the shipper's first batch", lambda: _moving(product, began), 120)
    yield stated(f"audit spool: backlog after {product.reads} requests", first["backlog_records"], "records")
    since = time.monotonic()
    time.sleep(WATCH_S)
    last = _status(product)
    rate = (last["sequence"] - first["sequence"]) / (time.monotonic() - since)
    yield stated("audit shipper: drain rate, one transaction of up to 200 at a time", rate, "records/s")


def backlog(product: Installation) -> int | None:
    """Records that wait for the shipper."""
    records = _status(product).get("backlog_records")
    return None if records is None else int(records)


def _moving(product: Installation, began: float) -> dict[str, Any] | None:
    """The status once this start of the shipper has sent something and still has work."""
    path = product.settings.var / "audit" / "status.json"
    if not path.exists() or path.stat().st_mtime < began:
        return None
    status = _status(product)
    return status if status.get("drained_last_minute") else None


def _status(product: Installation) -> dict[str, Any]:
    path = product.settings.var / "audit" / "status.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}
