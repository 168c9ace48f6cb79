"""Settings of the facade, read from the environment with the prefix FACADE_ by the process entry alone."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class FacadeSettings(BaseSettings):
    """Where the facade is, what it talks to, and its limits."""

    model_config = SettingsConfigDict(env_prefix="FACADE_", frozen=True, extra="ignore")

    base_url: str = Field(description="Public origin, without a trailing slash")
    hapi_url: str = Field(description="FHIR base of HAPI, loopback only")
    hapi_secret: SecretStr = Field(description="HAPI's secret for the facade")
    redis_url: str = Field(description="Redis: idempotency keys, notifications")
    pixels_socket: Path = Field(description="Unix socket of the pixels process")
    stow_dir: Path = Field(description="Where parts of an upload are spooled for the pixels process")
    spool_dir: Path = Field(description="Where audit records are made durable before an answer")
    data_dir: Path = Field(description="Index and metadata files of imaging, read only")
    receiver_url: str = Field(description="Receiver that wakes ingest after an upload")
    receiver_secret: SecretStr = Field(description="Secret of the receiver")
    signing_key: Path = Field(description="Private key (PEM) that report signatures are made with")

    stow_max_bytes: int = Field(2 * 1024**3, description="Largest body of one upload")
    body_max_bytes: int = Field(5 * 1024**2, description="Largest FHIR body")
    answer_max_bytes: int = Field(32 * 1024**2, description="Largest answer of HAPI that is read into memory")
    hapi_timeout_s: float = Field(10.0, description="Time that HAPI has for one answer")
    read_timeout_s: float = Field(
        30.0, description="Time that a request which only reads has, before it is told to ask for less"
    )
    hapi_connections: int = Field(50, description="Connections to HAPI")
    bundle_entries: int = Field(100, description="Most entries of a batch or transaction")
    page_default: int = Field(50, description="Entries of a page when the client names no _count")
    page_max: int = Field(200, description="Most entries of a page")
    accel: bool = Field(True, description="Let nginx carry answers that nobody has to inspect (way a)")
    in_flight_max: int = Field(
        256, ge=0, description="Requests at a time to /fhir, and as many to /dicom-web; 0: no bound"
    )
    rate_fhir: int = Field(0, ge=0, description="Requests a second of one principal to /fhir; 0: no limit")
    rate_dicomweb: int = Field(0, ge=0, description="The same to /dicom-web")
    rate_anonymous: int = Field(
        0, ge=0, description="Requests a second of one address without valid credentials; 0: no limit"
    )
    stale_s: float = Field(
        300.0, description="How long an open study is shown on what HAPI last said of it, while HAPI is down"
    )
    breaker_failures: int = Field(5, description="Failures in a row that open the circuit of a dependency")
    breaker_open_s: float = Field(5.0, description="Time that a circuit stays open; also Retry-After")
    idempotency_s: int = Field(86400, description="How long an Idempotency-Key is remembered")
