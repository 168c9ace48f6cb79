"""Settings of the imaging processes (pixels, ingest, imaging worker).

Prefix IMAGING_. Read by process entries only.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ImagingSettings(BaseSettings):
    """Where Orthanc is and where files go."""

    model_config = SettingsConfigDict(env_prefix="IMAGING_", frozen=True)

    orthanc_url: str = Field(description="Orthanc's REST interface, on loopback.")
    orthanc_user: str = Field(description="User of Orthanc's REST interface.")
    orthanc_password: SecretStr = Field(description="Its password.")
    data_dir: Path = Field(description="Rows (index.db) and DICOM JSON files (metadata/).")
    replace_dir: Path = Field(description="Durable copies of originals while they are being replaced.")
    stow_dir: Path = Field(description="Where the facade spools uploads.")
    complete_after_s: float = Field(3, gt=0, description="A study is complete after this long without news.")
    originals_days: float = Field(0, ge=0, description="How long originals are kept after transcoding.")
    children: int = Field(2, ge=1, le=64, description="Children that parse and decode at once.")
    child_timeout_s: float = Field(120, gt=0, description="A child that needs longer is ended.")
    child_memory_bytes: int = Field(6 << 30, ge=1 << 29, description="Address space of one child.")
