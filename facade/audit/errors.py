"""What can go wrong with the audit trail.

Each class has a stable code, a sentence that is safe to show, and whether trying again can help.
"""

from __future__ import annotations


class AuditError(Exception):
    """Base of the audit errors."""

    code = "ERR_500"
    temporary = False
    sentence = "The audit trail has a problem."


class SpoolError(AuditError):
    """The record could not be made durable, so the request that it belongs to is refused (503)."""

    code = "ERR_590"
    temporary = True
    sentence = "The access could not be recorded, so it was not carried out. Please try again later."


class ChainStateError(AuditError):
    """The shipper's own state and the trail in HAPI do not fit together; a person has to look."""

    code = "ERR_591"
    sentence = "The audit trail and the shipper's state contradict each other."


class ShipperRunsError(AuditError):
    """Another shipper holds the lock: the trail has a single writer."""

    code = "ERR_592"
    temporary = True
    sentence = "Another audit shipper is running."
