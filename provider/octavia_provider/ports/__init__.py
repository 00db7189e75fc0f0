# SPDX-License-Identifier: Apache-2.0
"""The Protocols that planner, controller and api are written against. What plugs in knows this file and no other.

Store         desired state, generations, leases, addresses         store/
Networks      which addresses new objects get                       controller/local_networks
Board         what the heartbeats say                               controller/board
Compute       hosts that run the agent                               clouds/*
LocalCloud    networks and hosts of the embedded cloud, publishing   clouds/netns
Agents        what is said to an amphora                             agents/
Authority     certificates of amphorae and controllers              pki/
"""

from __future__ import annotations

from .agents import AgentRefused, Agents, Authority, Credential
from .clouds import AmphoraOrder, Compute, Dialer, Host, HostSpec, LocalCloud, NetworkSpec, Order, Publication, Vip
from .store import Amphora, Board, Networks, Owner, Record, Scope, Settlement, Store, Transaction, Watch

__all__ = [
    "AgentRefused",
    "Agents",
    "Amphora",
    "AmphoraOrder",
    "Authority",
    "Board",
    "Compute",
    "Credential",
    "Dialer",
    "Host",
    "HostSpec",
    "LocalCloud",
    "NetworkSpec",
    "Networks",
    "Order",
    "Owner",
    "Publication",
    "Record",
    "Scope",
    "Settlement",
    "Store",
    "Transaction",
    "Vip",
    "Watch",
]
