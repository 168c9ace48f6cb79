"""What can go wrong in smart_auth: product codes, safe sentences, and whether trying again can help.

Sources: RFC 6749 sections 4.1.2.1 and 5.2, RFC 6750 section 3.1 (names of errors).
"""

from __future__ import annotations

from typing import ClassVar

# Product codes of a refusal by `policy.decide` (ERR_001-099 are authentication and authorisation).
REFUSALS: dict[str, tuple[int, str]] = {
    "ERR_001": (401, "no access token was given"),
    "ERR_002": (401, "the access token is not valid or no longer valid"),
    "ERR_003": (403, "the scope of the token does not cover this"),
    "ERR_004": (403, "the role does not allow this"),
    "ERR_005": (403, "the token is bound to a patient, and names none"),
    "ERR_006": (403, "the viewer's session is not good for this"),
    "ERR_007": (403, "the login is too old for this: log in again"),
    "ERR_008": (403, "the request was not understood, and is refused"),
    "ERR_009": (403, "only a person may do this"),
}


class SMARTAuthError(Exception):
    """Base of everything this folder raises."""

    code: ClassVar[str] = "ERR_002"
    temporary: ClassVar[bool] = False
    sentence: ClassVar[str] = "access was refused"
    status: ClassVar[int] = 401
    retry_after_s: ClassVar[int] = 1
    """For temporary ones: when trying again makes sense."""


class NoCredentialsError(SMARTAuthError):
    """Neither token nor session was sent."""

    code = "ERR_001"
    sentence = REFUSALS["ERR_001"][1]


class InvalidTokenError(SMARTAuthError):
    """Signature, type, issuer, audience, time or state of a token or session is not right."""

    sentence = REFUSALS["ERR_002"][1]


class MixedCredentialsError(SMARTAuthError):
    """Cookie and bearer token came together."""

    code = "ERR_010"
    status = 400
    sentence = "a session cookie and a bearer token came together"


class CrossSiteError(SMARTAuthError):
    """An unsafe request by cookie lacked the exact Origin or the CSRF header."""

    code = "ERR_011"
    status = 403
    sentence = "the request does not come from this site"


class StaleRevocationsError(SMARTAuthError):
    """The list of revocations is too old to trust: everything is refused until it is read again."""

    code = "ERR_012"
    temporary = True
    status = 503
    sentence = "access cannot be checked at the moment"


class StoreUnavailableError(SMARTAuthError):
    """The database or Redis did not answer."""

    code = "ERR_013"
    temporary = True
    status = 503
    sentence = "access cannot be checked at the moment"


class RuleError(SMARTAuthError):
    """An operator's or administrator's request breaks a rule (weak password, unknown role ...)."""

    code = "ERR_020"
    status = 422
    sentence = "the request breaks a rule"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.text = sentence


class OAuthError(SMARTAuthError):
    """An error with a name from RFC 6749; `description` is safe to show."""

    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.http_status = status


class PageError(SMARTAuthError):
    """An authorisation request that must not be answered by a redirect (RFC 6749 section 4.1.2.1)."""

    code = "ERR_021"
    status = 400

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description
