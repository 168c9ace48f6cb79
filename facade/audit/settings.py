"""Settings of the audit shipper (`FACADE_AUDIT_*`); only process entries make one."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class AuditSettings(BaseSettings):
    """Where the trail goes, how fast, and what proves it."""

    model_config = SettingsConfigDict(env_prefix="FACADE_AUDIT_", frozen=True)

    hapi_url: str = Field(description="FHIR base URL of HAPI, on loopback")
    hapi_secret: SecretStr = Field(description="the shipper's own secret for HAPI")
    spool_dir: Path = Field(description="folder of the spool segments that all processes write")
    state_dir: Path = Field(description="folder of the chain's state, its anchors and the status file")
    key: Path = Field(description="ES256 private key (PEM) that signs the trail; HAPI's host never has it")
    syslog_socket: Path = Field(description="Unix datagram socket to which nginx reports finished answers")
    batch: int = Field(200, ge=1, le=500, description="most events in one transaction")
    rate_per_s: float = Field(250, gt=0, description="most events a second sent to HAPI")
    join_s: float = Field(60, ge=0, description="how long a passed answer waits for nginx's word")
    anchor_s: float = Field(60, gt=0, description="how often the chain's head is anchored")
    poll_s: float = Field(0.2, gt=0, description="how often the spool is looked at, unless a batch was full")
    keep_days: int = Field(
        0, ge=0, description="days that an event is kept before it may be removed; 0: for ever"
    )
    timeout_s: float = Field(60, gt=0, description="longest wait for one answer of HAPI")
