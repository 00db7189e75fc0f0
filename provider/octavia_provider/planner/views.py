# SPDX-License-Identifier: Apache-2.0
"""What a plan is made of: what should be, what is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.ports import Amphora, CloudStep, Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What should be. ``roles``: one for each amphora; () when the load balancer is to go. ``vips``: what they serve.

    ``reach``: what an amphora without own addresses carries beside them. ``flavor``: by which amphorae are booted. ``digest``: of the
    configuration of each amphora that has an instance. ``cloud_steps``: what the cloud has still to do so that clients get to
    the listeners (``ports.ListenerAccess.plan``).
    """

    load_balancer_id: str
    roles: tuple[str, ...]
    vips: tuple[str, ...] = ()
    reach: tuple[str, ...] = ()
    flavor: Mapping[str, Any] = field(default_factory=dict)
    digest: Mapping[str, str] = field(default_factory=dict)
    cloud_steps: tuple[CloudStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is. ``amphorae``: the store's; ``instances``: the cloud's, by amphora id; ``digests``: what agents say is in force.

    ``owner``: which of them has the VIPs by VRRP, as far as is known. ``suspects``: amphorae whose agents are silent; ``unrecoverable``: those
    that did not answer after a restart either. ``due``: those whose certificates have to be renewed. ``failing``: those of which
    something has just failed; they are left aside until the next pass, so that they hold up no other one. ``drained``: those that
    leave and have nothing more to do. ``misplaced``: those that cannot stay where they are, and why; ``places``: how many more its
    amphora group has a place for (None: it is in none, and each has an instance of its own). ``allocated``: every VIP has its address. ``release``: what is to be kept of what the cloud
    may hold too much of; None: it holds no more than that.
    """

    amphorae: tuple[Amphora, ...] = ()
    instances: Mapping[str, Instance] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    suspects: frozenset[str] = frozenset()
    unrecoverable: frozenset[str] = frozenset()
    due: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    drained: frozenset[str] = frozenset()
    misplaced: Mapping[str, str] = field(default_factory=dict)
    places: int | None = None
    allocated: bool = True
    release: tuple[str, ...] | None = None

    def up(self, amphora: Amphora) -> bool:
        """Whether it can be given a configuration."""
        instance = self.instances.get(amphora.id)
        return instance is not None and instance.alive and amphora.id not in self.suspects
