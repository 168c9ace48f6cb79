"""The trail of what the pipeline does: an intent before a write, an outcome after it (design section 10).

A worker has no user: it acts as the system, and names the process and the request that set it going.
"""

import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal

from facade import log
from facade.audit.errors import SpoolError
from facade.audit.event import Who, audit_event
from facade.audit.spool import Spool
from facade.hapi import REQUEST_SOURCE
from subscriptions.errors import AuditUnavailableError

Action = Literal["C", "R", "U", "D", "E"]

# HAPI adds what it keeps of X-Request-ID behind a "#".
_REQUEST = re.compile(re.escape(REQUEST_SOURCE) + r"([0-9a-f]{32})(#.*)?")
FAILED: Final = "8"
"""AuditEvent.outcome: serious failure (FHIR R4, audit-event-outcome)."""


def current_request_id() -> str:
    """The request id of this job, a new one if the work was not set going by a request."""
    present = log.request_id.get()
    if present is None:
        present = uuid.uuid4().hex
        log.request_id.set(present)
    return present


def follow(resource: Mapping[str, Any]) -> None:
    """Go on under the id of the request that wrote this resource (meta.source), if it says so."""
    found = _REQUEST.fullmatch(str(resource.get("meta", {}).get("source", "")))
    if found:
        log.request_id.set(found.group(1))


class Trail:
    """Writes audit records of one process of the pipeline into the spool."""

    def __init__(self, spool: Spool, process: str) -> None:
        self._spool = spool
        self._who = Who(reference=None, display_role="system", client_id=process)

    async def record(
        self,
        interaction: str,
        action: Action,
        *,
        what: Sequence[str],
        patient: str | None,
        detail: Mapping[str, str] | None = None,
        failed: str | None = None,
        who: Who | None = None,
    ) -> None:
        """One durable record.

        :param failed: code of the error, when what is recorded did not succeed
        :raises AuditUnavailableError: the spool cannot be written
        """
        event = self._event(interaction, action, what, patient, detail, failed, who)
        try:
            await self._spool.write(event)
        except SpoolError as error:
            raise AuditUnavailableError from error

    def record_sync(
        self, interaction: str, action: Action, *, what: Sequence[str], patient: str | None, **detail: str
    ) -> None:
        """The same from a thread, for code that writes synchronously.

        :raises AuditUnavailableError: the spool cannot be written
        """
        try:
            self._spool.write_sync(self._event(interaction, action, what, patient, detail, None, None))
        except SpoolError as error:
            raise AuditUnavailableError from error

    def _event(
        self,
        interaction: str,
        action: Action,
        what: Sequence[str],
        patient: str | None,
        detail: Mapping[str, str] | None,
        failed: str | None,
        who: Who | None,
    ) -> dict[str, Any]:
        return audit_event(
            interaction=interaction,
            action=action,
            who=who or self._who,
            what=what,
            patient=patient,
            outcome=FAILED if failed else "0",
            reason=failed,
            request_id=current_request_id(),
            detail=dict(detail or {}),
        )

    @contextlib.asynccontextmanager
    async def around(
        self,
        interaction: str,
        action: Action,
        *,
        what: Sequence[str],
        patient: str | None,
        detail: Mapping[str, str] | None = None,
    ) -> AsyncIterator[None]:
        """Intent before the block, outcome after it, also when it fails.

        :raises AuditUnavailableError: the spool cannot be written; before the block, so that nothing is done
        """
        facts = dict(detail or {})
        await self.record(interaction, action, what=what, patient=patient, detail=facts | {"phase": "intent"})
        facts["phase"] = "outcome"
        try:
            yield
        except BaseException as error:
            code = getattr(error, "code", None) or type(error).__name__
            await self.record(interaction, action, what=what, patient=patient, detail=facts, failed=str(code))
            raise
        await self.record(interaction, action, what=what, patient=patient, detail=facts)
