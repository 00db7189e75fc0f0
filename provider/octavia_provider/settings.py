# SPDX-License-Identifier: Apache-2.0
"""The settings of a control plane: what is given, else what the environment says (``OCTAVIA_IDLE_SECONDS``)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from octavia_provider.controller.silence import HeartbeatTiming
from octavia_provider.kit import paths


class Settings(BaseSettings):
    """Of one control plane. ``idle_seconds`` None: it stays when nothing is left to serve. ``templates_dir``: an operator's
    templates, which stand in place of ours. ``database``: the URL of a PostgreSQL database that keeps the state in place of the home.

    ``heartbeat_interval`` and ``heartbeat_timeout`` in seconds; ``breaker_share``: more than this part of all amphorae silent at once
    is taken for the control plane's own failure, and none of them is replaced.

    ``cloud``: where amphorae run: ``embedded`` (namespaces of this machine) or ``openstack``, whose ``clouds.openstack.settings`` are
    apart; ``os_cloud``: its name in ``clouds.yaml``. On OpenStack a control plane stays, whatever ``idle_seconds`` is.

    ``listen``: address and port on which Keystone's users are served, beside the Unix socket; by TLS where ``tls_certificate`` (with its
    chain) and ``tls_key`` are given. ``public_url``: where clients reach it, behind a proxy. ``policy_file``: rules of oslo.policy that stand in
    place of ours. ``memcached_servers``: where tokens are remembered for several control planes (``host:port,…``).

    ``certificate_interval``: seconds after which certificates of a manager (Barbican) are looked at again.

    ``log_to``: the file of the home, or standard error for a service manager or a container, one JSON object a line.

    ``name``: of this control plane among several of one home; ``lease_seconds``: what one of them leaves is taken over after that long.
    """

    model_config = SettingsConfigDict(env_prefix="OCTAVIA_", env_ignore_empty=True, frozen=True)

    home: Path = Field(default_factory=paths.home)
    cloud: Literal["embedded", "openstack"] = "embedded"
    os_cloud: str | None = None
    idle_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 60.0
    log_level: Literal["debug", "info", "warning"] = "info"
    templates_dir: Path | None = None
    database: str | None = None
    heartbeat_interval: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    heartbeat_timeout: Annotated[float, Field(ge=0.3, le=600, validate_default=True)] = 3.5
    agent_log_level: Literal["debug", "info", "warning"] = "info"
    breaker_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    listen: Annotated[str, Field(pattern=r"^.+:\d{1,5}$")] | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    public_url: Annotated[str, Field(pattern=r"^https?://[^/?#]+(/[^?#]*)?$")] | None = None
    policy_file: Path | None = None
    memcached_servers: str | None = None
    certificate_interval: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] = 600.0
    log_to: Literal["file", "stderr"] = "file"
    name: Annotated[str, Field(pattern=f"^{paths.NAME.pattern}$")] | None = None
    lease_seconds: Annotated[float, Field(ge=3, le=3600, allow_inf_nan=False)] = 15.0

    @field_validator("heartbeat_timeout")
    @classmethod
    def _three_beats_fit(cls, timeout: float, info: ValidationInfo) -> float:
        HeartbeatTiming(interval=info.data.get("heartbeat_interval", 0.0), timeout=timeout)
        return timeout

    @property
    def address(self) -> tuple[str, int] | None:
        """Where users are served."""
        host, _, port = (self.listen or "").rpartition(":")
        return (host.strip("[]"), int(port)) if port else None

    def timing(self) -> HeartbeatTiming:
        """Of heartbeats and silence."""
        return HeartbeatTiming(
            interval=self.heartbeat_interval, timeout=self.heartbeat_timeout, breaker_share=self.breaker_share
        )

    @property
    def instance(self) -> Path:
        """The folder of what is this control plane's own."""
        return paths.instance(self.home, self.name)
