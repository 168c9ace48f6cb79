"""Catalogue of what can go wrong in this folder: a stable code, whether a retry can help, a safe sentence.

The codes are the product's (`ERR_001-099` authentication and authorisation, `101-199` validation, `201-299`
not found, `301-399` conflict, `401-499` business rule, `501-599` external system, `500` internal). Sentences
in both languages and the HTTP status of each code are in `facade.outcome`; `str(error)` is safe to log.
"""

from __future__ import annotations

from collections.abc import Sequence


class FacadeError(Exception):
    """Anything this folder refuses or cannot do."""

    code = "ERR_500"
    temporary = False
    sentence = "The server could not do this."

    def __init__(
        self,
        detail: str = "",
        *,
        expression: str | None = None,
        issues: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """`detail` is shown to the caller: a parameter or element, never a value of a stored record.

        `issues` are pairs (FHIRPath expression, what is wrong) when there are several.
        """
        super().__init__(detail or self.sentence)
        self.detail = detail
        self.expression = expression
        self.issues = issues
        self.beside: tuple[FacadeError, ...] = ()
        """What else is wrong with the same resource."""


def raise_together(found: Sequence[FacadeError]) -> None:
    """Raise the first of what was found, with the others beside it; nothing found: return."""
    flat = [one for error in found for one in (error, *error.beside)]
    if flat:
        flat[0].beside = tuple(flat[1:])
        raise flat[0]


# Authentication and authorisation


class RefusedError(FacadeError):
    """What `smart_auth.policy.decide` refused; the code is the policy's (ERR_001-019)."""

    sentence = "This is not allowed."

    def __init__(self, code: str, reason: str = "") -> None:
        """`reason` goes to log and audit; the caller gets the sentence of the code."""
        super().__init__()
        self.code = code
        self.reason = reason


# Validation


class BadRequestError(FacadeError):
    """The request cannot be read."""

    code = "ERR_101"
    sentence = "The request could not be read."


class UnknownParameterError(BadRequestError):
    """A search parameter or modifier that is not offered."""

    code = "ERR_102"
    sentence = "A search parameter is not supported here."


class InvalidResourceError(FacadeError):
    """The resource in the body breaks the specification or a rule of the product."""

    code = "ERR_103"
    sentence = "The resource is not valid."


class BodyTooLargeError(FacadeError):
    """The body is over the limit."""

    code = "ERR_104"
    sentence = "The body is over the limit of this server."


class MediaTypeError(FacadeError):
    """A body that is not FHIR JSON."""

    code = "ERR_105"
    sentence = "Only FHIR JSON is supported."


class NotAcceptableError(FacadeError):
    """An answer was asked for in a format that is not offered."""

    code = "ERR_106"
    sentence = "Only FHIR JSON can be sent."


class MethodError(FacadeError):
    """The method is not offered on this address."""

    code = "ERR_107"
    sentence = "This method is not supported on this address."


class UnresolvedReferenceError(InvalidResourceError):
    """A reference to something missing, deleted or not visible to the caller (one answer for all three)."""

    code = "ERR_108"
    sentence = "A referenced resource does not exist."


class TooCostlyError(FacadeError):
    """A search that would need more steps than the bound."""

    code = "ERR_109"
    sentence = "This search is too costly. Narrow it."


class RangeError(FacadeError):
    """The Range header asks for what is not there."""

    code = "ERR_110"
    sentence = "The requested range cannot be served."


# Not found


class NotFoundError(FacadeError):
    """Missing, foreign or deleted: one answer."""

    code = "ERR_201"
    sentence = "The resource was not found."


# Conflict


class StaleVersionError(FacadeError):
    """If-Match names a version that is not the current one."""

    code = "ERR_301"
    sentence = "The resource has changed since you read it. Read it again."


class VersionRequiredError(FacadeError):
    """An update without If-Match and without meta.versionId."""

    code = "ERR_302"
    sentence = "If-Match with the version that you read is required."


class MultipleMatchesError(FacadeError):
    """A conditional request matches more than one resource."""

    code = "ERR_303"
    sentence = "The condition matches more than one resource."


class ReferencedError(FacadeError):
    """A resource that others refer to cannot be deleted."""

    code = "ERR_304"
    sentence = "Other resources refer to this one."


class ConflictError(FacadeError):
    """A concurrent change won."""

    code = "ERR_305"
    sentence = "Another change was made at the same time. Try again."


# Business rules


class BusinessRuleError(FacadeError):
    """A rule of the product forbids this content or step."""

    code = "ERR_401"
    sentence = "A rule of this product does not allow this."


class ServerElementError(BusinessRuleError):
    """An element that only the server sets."""

    code = "ERR_402"
    sentence = "This element is set by the server only."


class NotReviewedError(BusinessRuleError):
    """Signing without an approved review of that version."""

    code = "ERR_403"
    sentence = "This version of the report has no approved review."


class WrongStateError(BusinessRuleError):
    """The resource is not in a state that this step can start from."""

    code = "ERR_404"
    sentence = "The current state does not allow this step."


class ThrottledError(FacadeError):
    """Too many requests."""

    code = "ERR_407"
    temporary = True
    sentence = "Too many requests."


class BusyError(FacadeError):
    """More requests are in flight than this server takes at a time."""

    code = "ERR_504"
    temporary = True
    sentence = "The server is busy. Try again in a moment."


class IdempotencyError(BusinessRuleError):
    """The same Idempotency-Key came with another body."""

    code = "ERR_405"
    sentence = "This Idempotency-Key was used with another body."


# External systems


class DependencyError(FacadeError):
    """A system that this request needs does not answer."""

    code = "ERR_501"
    temporary = True
    sentence = "A system that is needed for this does not answer. Try again later."


class SignatureError(FacadeError):
    """What was stored is not what was signed."""

    code = "ERR_503"
    sentence = "What was stored is not what was signed."


class HAPIError(FacadeError):
    """Any answer of HAPI that is not a success (`facade.outcome` says what a client gets for it)."""

    code = "ERR_500"
    sentence = "The record store could not do this."


class HAPITemporaryError(HAPIError):
    """HAPI cannot be reached, is too slow or overloaded: trying again can help (408, 429, 5xx, transport)."""

    code = "ERR_502"
    temporary = True
    sentence = "The record store does not answer. Try again later."

    def __init__(self, detail: str = "", *, status: int | None = None) -> None:
        """`status` is HAPI's answer, None when there was none."""
        super().__init__(detail)
        self.status = status


class HAPIPermanentError(HAPIError):
    """HAPI refused. Its diagnostics carry SQL and values, so only status and the HAPI-nnnn code are kept."""

    def __init__(self, status: int, hapi_code: str | None = None) -> None:
        """`hapi_code` is the innermost HAPI-nnnn code of the diagnostics."""
        super().__init__(f"HAPI answered {status} ({hapi_code or 'no code'})")
        self.status = status
        self.hapi_code = hapi_code


class HAPINotFoundError(HAPIPermanentError):
    """404."""


class HAPIGoneError(HAPIPermanentError):
    """410: the resource was deleted."""


class HAPIConflictError(HAPIPermanentError):
    """409 or 412: a stale version, a lost race, several matches, or a resource that others refer to."""

    @property
    def is_stale(self) -> bool:
        """True when a version was named that is not the current one; trying again cannot help."""
        return self.hapi_code in ("HAPI-0989", "HAPI-0974")
