"""Owns the settings of the inference worker (environment prefix INFERENCE_); only process entries instantiate
it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the operator may choose."""

    model_config = SettingsConfigDict(env_prefix="INFERENCE_", frozen=True)

    bundles_dir: Path = Field(
        description="Folder that holds one MONAI bundle per sub-folder, named by bundle id"
    )
    allowed_bundles: tuple[str, ...] = Field(
        default=(), description="Bundle ids that may be loaded (JSON list); nothing else is"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Arithmetic of the network; auto times both on this machine at start"
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="CPU threads of the network; 0 leaves torch's own choice (the CPU's cores)",
    )
