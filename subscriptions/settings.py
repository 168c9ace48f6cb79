"""Settings of the receiver, ingest, the workers and the scheduler: environment variables SUBSCRIPTIONS_*.

Only the process entries (app, ingest, worker, scheduler) read them; everything else receives values.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SubscriptionsSettings(BaseSettings):
    """What every process of this folder needs to know."""

    model_config = SettingsConfigDict(env_prefix="SUBSCRIPTIONS_", frozen=True, extra="ignore")

    hapi_url: str = Field(description="Base URL of HAPI FHIR, on the loopback interface.")
    hapi_secret: SecretStr = Field(description="HAPI's secret for this kind of process.")
    redis_url: str = Field(description="Redis, as redis-py writes it (unix:///path/redis.sock).")
    receiver_url: str = Field(
        default="http://127.0.0.1:8002",
        description="Where HAPI delivers notifications: the receiver's own URL.",
    )
    receiver_secret: SecretStr = Field(
        description="Secret that HAPI's notifications and wake-ups must carry."
    )
    spool_dir: Path = Field(description="Directory of the audit spool.")
    base_url: str = Field(description="Public origin of the product, without a trailing slash.")
    lease_s: int = Field(
        default=30, ge=3, description="How long a running job stays taken without a renewal."
    )
    reconcile_s: float = Field(default=5, gt=0, description="Pause between two rounds of reconcile.")
    compare_s: float = Field(
        default=300, gt=0, description="How often ingest looks for what was deleted in Orthanc."
    )
    poll_s: float = Field(
        default=1, gt=0, description="How often ingest looks at Orthanc without being woken."
    )

    @classmethod
    def from_environment(cls) -> Self:
        """Read SUBSCRIPTIONS_*; for the process entries alone."""
        return cls()
