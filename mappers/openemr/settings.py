"""Where OpenEMR's database is and which clock it lives by."""

import re
from datetime import timedelta, timezone

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_OFFSET = re.compile(r"^([+-])(0\d|1[0-4]):([0-5]\d)$")


class OpenEMRSettings(BaseSettings):
    """Settings of the OpenEMR mapping, from the environment (`OPENEMR_…`)."""

    model_config = SettingsConfigDict(env_prefix="OPENEMR_", frozen=True)

    database_url: SecretStr = Field(
        description="OpenEMR's database: mysql+pymysql://account:password@host:port/name"
    )
    sync_database_url: SecretStr = Field(description="our own schema of cross-references, on the same server")
    time_zone: str = Field(
        "+09:00", description="offset from UTC of OpenEMR's local times (its gbl_time_zone)"
    )
    lock_timeout_s: int = Field(10, ge=1, description="longest wait for another writer of the same resource")
    connect_timeout_s: int = Field(5, ge=1, description="longest wait for a connection")
    statement_timeout_s: int = Field(30, ge=1, description="longest wait for one answer of the database")

    @field_validator("time_zone")
    @classmethod
    def _offset_only(cls, value: str) -> str:
        # MariaDB knows names of zones only when its zone tables were loaded; an offset always works.
        if not _OFFSET.match(value):
            raise ValueError("time_zone is an offset such as +09:00")
        return value

    def zone(self) -> timezone:
        """Return the offset as Python's time zone."""
        sign, hours, minutes = _OFFSET.match(self.time_zone).groups()  # type: ignore[union-attr]  # validated above
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-offset if sign == "-" else offset)
