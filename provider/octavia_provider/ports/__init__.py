# SPDX-License-Identifier: Apache-2.0
"""The Protocols that planner, controller and api are written against. What plugs in knows this package and no other.

Store             desired state, generations, leases, addresses          store/
StatusCache       what the heartbeats say                                controller/status_cache
CloudDriver       a cloud with all that is particular to it              clouds/*
  Cloud           instances that run the agent, sockets, an inventory
  Networks        which addresses objects get: in the transaction (LocalAllocation) or by a step (RemoteAllocation)
  ListenerAccess  how clients get to listeners
  Reconciler      what brings about objects of the cloud's own kinds
Agents            what is said to an amphora                             agents/
Authority         certificates of amphorae and controllers               pki/
Identity, Policy  who asks the API, and what they may do                 keystone/
CertificateManager  certificates outside, by reference                   clouds/openstack/barbican
"""

from __future__ import annotations

from .access import CloudStep, ListenerAccess, MemberSubnets, no_subnets
from .agents import AgentRefused, Agents, Authority, CertificateExpired, Credential
from .certificates import CertificateManager, Consumer, Readable, StoredCertificate
from .clouds import (
    AmphoraSpec,
    Cloud,
    CloudResource,
    Compute,
    Dialer,
    Instance,
    Inventory,
    SeatSpec,
    StateVersion,
    Vip,
)
from .driver import UNLIMITED, CloudDriver, Incomplete, Reconciler
from .flavors import flavor_data, zone_data
from .identity import LOCAL_PROJECT, Caller, Identity, Named, Policy, Visibility
from .lease import LEASE
from .networks import (
    Allocation,
    ListedNetwork,
    ListedSubnet,
    LocalAllocation,
    NetworkDirectory,
    NetworkLookup,
    Networks,
    RemoteAllocation,
)
from .records import AGENT, CERTIFICATE, DRAIN, Amphora, ControlPlane, Owner, Record, Scope, Settlement
from .store import EVENTS_CHANGED, StatusCache, Store, Transaction, Watch, fenced

__all__ = [
    "AGENT",
    "CERTIFICATE",
    "DRAIN",
    "EVENTS_CHANGED",
    "LEASE",
    "LOCAL_PROJECT",
    "UNLIMITED",
    "AgentRefused",
    "Agents",
    "Allocation",
    "Amphora",
    "AmphoraSpec",
    "Authority",
    "Caller",
    "CertificateExpired",
    "CertificateManager",
    "Cloud",
    "CloudDriver",
    "CloudResource",
    "CloudStep",
    "Compute",
    "Consumer",
    "ControlPlane",
    "Credential",
    "Dialer",
    "Identity",
    "Incomplete",
    "Instance",
    "Inventory",
    "ListedNetwork",
    "ListedSubnet",
    "ListenerAccess",
    "LocalAllocation",
    "MemberSubnets",
    "Named",
    "NetworkDirectory",
    "NetworkLookup",
    "Networks",
    "Owner",
    "Policy",
    "Readable",
    "Reconciler",
    "Record",
    "RemoteAllocation",
    "Scope",
    "SeatSpec",
    "Settlement",
    "StateVersion",
    "StatusCache",
    "Store",
    "StoredCertificate",
    "Transaction",
    "Vip",
    "Visibility",
    "Watch",
    "fenced",
    "flavor_data",
    "no_subnets",
    "zone_data",
]
