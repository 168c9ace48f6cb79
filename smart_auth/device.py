"""Browsers in which a person has logged in before: strangers cannot lock the person out of them.

After a login the browser keeps a cookie that says, under the service's key, for which user name it is good.
A try with it is counted for that browser alone; every other try is counted for the account and the address.
So guesses from elsewhere lock strangers out, not the person, and a stolen cookie gives ten tries.
Source: OWASP, Slow Down Online Guessing Attacks with Device Cookies.
"""

from __future__ import annotations

import hashlib
import hmac

from smart_auth.secret import new_id

COOKIE = "neuronova_device"
LIFETIME_S = 180 * 86400


def issue(key: bytes, username: str) -> str:
    """A cookie for the browser of this user (the name is normalised)."""
    device = new_id()
    return f"{device}.{_seal(key, username, device)}"


def known(key: bytes, username: str, cookie: str | None) -> str | None:
    """The browser's identity, if this user has logged in there before."""
    device, _, seal = (cookie or "").partition(".")
    if not seal or not hmac.compare_digest(_seal(key, username, device).encode(), seal.encode()):
        return None
    return device


def _seal(key: bytes, username: str, device: str) -> str:
    return hmac.new(key, f"{device}:{username}".encode(), hashlib.sha256).hexdigest()
