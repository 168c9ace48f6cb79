"""The kind of a browser, for a person to recognise their own sessions: no version, nothing that identifies.

Source: RFC 9110 10.1.5 (User-Agent). Order matters: most browsers also call themselves Chrome and Safari.
"""

from __future__ import annotations

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Whale/", "Whale"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def kind(header: str | None) -> str:
    """Such as "Firefox, Windows"; empty when nothing is recognised."""
    text = (header or "")[:500]
    found = (next((name for mark, name in table if mark in text), "") for table in (_BROWSERS, _SYSTEMS))
    return ", ".join(name for name in found if name)
