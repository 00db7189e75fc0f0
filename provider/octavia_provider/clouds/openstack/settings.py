# SPDX-License-Identifier: Apache-2.0
"""The settings of a control plane on OpenStack: what is given, else what the environment says (``OCTAVIA_OPENSTACK_…``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Affinity = Literal["soft-anti-affinity", "anti-affinity", "none"]


class SessionSettings(BaseSettings):
    """``cloud``: its name in ``clouds.yaml``; None: ``OS_CLOUD``, or ``OS_AUTH_URL`` and its like.

    ``timeout``: seconds of one call; ``workers``: calls at once.
    """

    model_config = SettingsConfigDict(env_prefix="OCTAVIA_OPENSTACK_", env_ignore_empty=True, frozen=True)

    cloud: str | None = None
    region: str | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    workers: Annotated[int, Field(ge=1, le=128)] = 16


class OpenStackSettings(SessionSettings):
    """Of a control plane.

    ``management_network``: id or name of the network on which the control plane reaches the agents. ``heartbeat_address``: where
    amphorae reach the control plane on it (address:port); ``heartbeat_bind``: where it listens for them, the same where not given.

    ``image_tag``, ``compute_flavor``, ``compute_zone``: of amphorae whose flavor and zone name none. ``volume_gb``: boot from a volume
    of so many GiB in place of the image. ``affinity``: the policy of the server group of each load balancer; a pair that is replaced has three
    members for a moment, so strict ``anti-affinity`` needs three hosts.

    ``boot_timeout``: seconds until a server is ACTIVE.
    """

    management_network: str
    management_security_groups: tuple[str, ...] = ()
    heartbeat_address: Annotated[str, Field(pattern=r"^.+:\d{1,5}$")]
    heartbeat_bind: Annotated[str, Field(pattern=r"^.+:\d{1,5}$")] | None = None
    compute_flavor: str | None = None
    compute_zone: str | None = None
    image_tag: str = "amphora"
    image_owner: str | None = None
    volume_gb: Annotated[int, Field(ge=0, le=1024)] = 0
    volume_type: str | None = None
    key_name: str | None = None
    affinity: Affinity = "soft-anti-affinity"
    boot_timeout: Annotated[float, Field(gt=0, le=3600)] = 600.0

    @property
    def bind(self) -> tuple[str, int]:
        """Where heartbeats are listened for."""
        host, _, port = (self.heartbeat_bind or self.heartbeat_address).rpartition(":")
        return host.strip("[]"), int(port)
