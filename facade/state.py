"""What one facade process holds, made once in the lifespan and read from every request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict, cast

from aiobreaker import CircuitBreaker
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from facade.audit.spool import Spool
from facade.hapi import HAPIClient
from facade.load import Rates
from facade.settings import FacadeSettings
from smart_auth.authenticate import Authenticator
from smart_auth.keys import ReportKey
from smart_auth.service import SMARTAuth


@dataclass(frozen=True)
class Services:
    """Settings and clients; all of them are safe to share between requests."""

    settings: FacadeSettings
    hapi: HAPIClient
    auth: SMARTAuth
    spool: Spool
    redis: Redis
    pixels_circuit: CircuitBreaker
    rates: Rates = field(default_factory=Rates)

    @property
    def authenticator(self) -> Authenticator:
        """Turns credentials into a Principal."""
        return self.auth.authenticator

    @property
    def report_key(self) -> ReportKey:
        """Signs reports."""
        return self.auth.keys.report


class State(TypedDict):
    """The lifespan's state, as Starlette hands it to each request."""

    services: Services


def services(connection: HTTPConnection) -> Services:
    """Return the process's services."""
    return cast(Services, connection.state.services)
