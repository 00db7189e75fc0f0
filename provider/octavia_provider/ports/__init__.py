# SPDX-License-Identifier: Apache-2.0
"""The Protocols that planner, controller and api are written against. What plugs in knows this file and no other.

Store         desired state, generations, leases, addresses         store/
Networks      which addresses new objects get                       controller/local_networks
Board         what the heartbeats say                               controller/status_cache
Compute       hosts that run the agent                               clouds/*
LocalCloud    networks and hosts of the embedded cloud, publishing   clouds/netns
Agents        what is said to an amphora                             agents/
Authority     certificates of amphorae and controllers              pki/
"""

from __future__ import annotations

from .agents import AgentRefused, Agents, Authority, Credential
from .clouds import (
    AmphoraSpec,
    Compute,
    Dialer,
    HostSpec,
    Instance,
    LocalCloud,
    NetworkSpec,
    Publication,
    StateVersion,
    Vip,
)
from .store import Amphora, Networks, Owner, Record, Scope, Settlement, StatusCache, Store, Transaction, Watch

__all__ = [
    "AgentRefused",
    "Agents",
    "Amphora",
    "AmphoraSpec",
    "Authority",
    "Compute",
    "Credential",
    "Dialer",
    "HostSpec",
    "Instance",
    "LocalCloud",
    "NetworkSpec",
    "Networks",
    "Owner",
    "Publication",
    "Record",
    "Scope",
    "Settlement",
    "StateVersion",
    "StatusCache",
    "Store",
    "Transaction",
    "Vip",
    "Watch",
]
