"""JSON logging for every process: request or job id and references; never bodies, tokens, names, queries."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)

# These write request lines or queries at INFO.
_TALKATIVE = (
    "httpx",
    "httpcore",
    "aiohttp.access",
    "aiohttp.client",
    "asyncio",
    "uvicorn.access",
    "websockets",
)
# These repeat values of what they read.
_REPEATING = ("pydicom",)
# Messages of these come from the interpreter or the operating system; a validation error of pydantic, by
# contrast, repeats the value that it refuses.
_PLAIN = (OSError, TypeError, AttributeError, ImportError, RuntimeError)
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JSONFormatter(logging.Formatter):
    """One JSON object a line; an exception is its class and the places it went through."""

    def __init__(self, process: str) -> None:
        """`process` names the program in every line."""
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, variable in (("request_id", request_id), ("job_id", job_id)):
            if (value := variable.get()) is not None:
                line[name] = value
        line.update({k: v for k, v in record.__dict__.items() if k not in _STANDARD})
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _error(record.exc_info[1])
        return orjson.dumps(line, default=str).decode()


def _error(error: BaseException) -> dict[str, Any]:
    """Describe an exception without values of records."""
    described: dict[str, Any] = {"class": type(error).__qualname__}
    if hasattr(error, "code") or isinstance(error, _PLAIN):
        described["text"] = str(error)
    described["at"] = [
        f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}"
        for f in traceback.extract_tb(error.__traceback__)[-12:]
    ]
    if error.__cause__ is not None:
        described["cause"] = _error(error.__cause__)
    return described


def configure(process: str, level: int = logging.INFO) -> None:
    """Send every log line of this process to stderr as JSON; call once, in the process entry."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(JSONFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        theirs = logging.getLogger(name)
        theirs.handlers.clear()
        theirs.propagate = True
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _REPEATING:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # A library's warning is for its developers, and may repeat a value too.
    warnings.simplefilter("ignore")
