"""What strangers sent, JSON and signed tokens: read, or refused; nothing in it breaks what comes after.

The parser gives up on deep nesting with an error of its own kind, and it lets half a surrogate pair through,
which neither a hash nor a database takes. Source: RFC 8259 sections 8.2 and 9.
"""

from __future__ import annotations

import json
from typing import Any

from joserfc.errors import JoseError

# What reading a signed token of a stranger may raise: the library trips over a header like `"crit": 1`.
UNREADABLE = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


def loads(text: bytes) -> Any:
    """The value of a JSON text."""
    try:
        value = json.loads(text)
        # Nothing but text that can be written again.
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value
