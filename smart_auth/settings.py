"""Settings of smart_auth (environment `SMART_AUTH_*`). Only process entries instantiate them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SMARTAuthSettings(BaseSettings):
    """Issuer, stores, keys and lifetimes."""

    model_config = SettingsConfigDict(env_prefix="SMART_AUTH_", frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        description="SQLAlchemy URL of users, clients and grants: sqlite:///file or mysql+pymysql://..."
    )
    issuer: str = Field(description="Public address of the authorization server, without a trailing slash")
    audience: str = Field(description="Public address of the FHIR server, the only valid `aud`")
    keys_dir: Path = Field(description="Directory of private keys, made on first start, readable by us only")
    redis_url: SecretStr = Field(description="Redis for codes, sessions and what else lives for minutes")
    access_token_s: int = Field(3600, description="Lifetime of an access token of a person")
    backend_token_s: int = Field(300, description="Lifetime of an access token of a back end")
    id_token_s: int = Field(3600, description="Lifetime of an id token")
    code_s: int = Field(60, description="Lifetime of an authorization code")
    refresh_idle_s: int = Field(7 * 86400, description="A refresh token unused for so long ends")
    refresh_absolute_s: int = Field(30 * 86400, description="A family of refresh tokens ends after so long")
    session_s: int = Field(8 * 3600, description="A login in the browser ends after so long")
    request_s: int = Field(600, description="Time to log in after an app asked for access")
    launch_s: int = Field(300, description="Time to open an app that was launched from here")
    invitation_s: int = Field(3 * 86400, description="Lifetime of an invitation or reset link")
    setup_code_s: int = Field(86400, description="Lifetime of the set-up code of the first administrator")
    revocation_poll_s: float = Field(0.5, description="How often each process reads the revocations")
    revocation_stale_s: float = Field(1.0, description="Older than this, every token is refused")
    password_length: int = Field(12, ge=8, description="Fewest characters of a password")
    totp_required: bool = Field(
        True, description="Whether staff need a second factor; who has none enrols at the next login"
    )
    lock_after: int = Field(10, description="Failed logins in a row until an account or address is locked")
    lock_s: int = Field(900, description="Longest wait after failed logins")
    jwks_loopback: bool = Field(
        False, description="Fetch clients' keys from this machine too; for tests alone"
    )
    registrations_per_hour: int = Field(10, description="Apps that one address may register in an hour")
    registrations_pending: int = Field(200, description="Most registrations that wait for an administrator")
    registration_s: int = Field(30 * 86400, description="A registration that nobody approves is forgotten")
    key_publish_s: int = Field(600, description="A new signing key is published so long before it signs")
    organization_name: str = Field("NeuroNova", description="Name of the hospital, as apps show it")
    organization_url: str = Field("", description="The hospital's web address; empty: this server's")
    time_zone: str = Field(
        "+00:00", pattern=r"^[+-]\d\d:\d\d$", description="The hospital's UTC offset, for times on pages"
    )
    address_header: str = Field(
        "x-forwarded-for", description="Header that the proxy in front overwrites with the caller's address"
    )

    @property
    def origin(self) -> str:
        """Scheme, host and port of the issuer, as browsers write them in `Origin`."""
        scheme, _, rest = self.issuer.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"

    @property
    def longest_token_s(self) -> int:
        """A token that is signed now is past after so long, on every clock."""
        return max(self.access_token_s, self.backend_token_s, self.id_token_s) + 60

    @property
    def is_tls(self) -> bool:
        """Whether cookies may be bound to TLS (`__Host-`)."""
        return self.issuer.startswith("https://")
