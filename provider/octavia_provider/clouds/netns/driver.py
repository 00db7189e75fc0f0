# SPDX-License-Identifier: Apache-2.0
"""The embedded cloud with all that is particular to it, as a control plane takes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial

from octavia_provider.model.kinds import LOCAL_KINDS
from octavia_provider.ports import CloudDriver, Scope, Store

from .cloud import NetnsCloud
from .networks import NetnsNetworks
from .publishing import LoopbackPublisher
from .scopes import LocalReconciler


def driver(
    cloud: NetnsCloud, networks: NetnsNetworks, store: Store, seen: Callable[[Mapping[str, bool]], None]
) -> CloudDriver:
    """``seen`` is told which hosts run."""
    make = partial(_reconciler, store, cloud, seen)
    return CloudDriver(
        name="netns",
        cloud=cloud,
        networks=networks,
        access=LoopbackPublisher(cloud),
        reconcilers=dict.fromkeys(LOCAL_KINDS, make),
        directory=networks,
        # Agents that start take the processors from those that serve: 50 at once on two of them cost an outage of 20 s.
        boots_at_once=2 * len(os.sched_getaffinity(0)),
    )


def _reconciler(
    store: Store, cloud: NetnsCloud, seen: Callable[[Mapping[str, bool]], None], scope: Scope
) -> LocalReconciler:
    return LocalReconciler(store, cloud, seen, scope)
