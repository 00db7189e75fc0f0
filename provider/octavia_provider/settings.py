# SPDX-License-Identifier: Apache-2.0
"""The settings of the embedded control plane: what is given, else what the environment says (``OCTAVIA_IDLE_SECONDS``)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from octavia_provider.kit import paths


class Settings(BaseSettings):
    """Of one embedded control plane. ``idle_seconds`` None: it stays when nothing is left to serve. ``templates_dir``: an operator's
    templates, which stand in place of ours. ``database``: the URL of a PostgreSQL database that keeps the state in place of the home."""

    model_config = SettingsConfigDict(env_prefix="OCTAVIA_", env_ignore_empty=True, frozen=True)

    home: Path = Field(default_factory=paths.home)
    idle_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 60.0
    log_level: Literal["debug", "info", "warning"] = "info"
    templates_dir: Path | None = None
    database: str | None = None
