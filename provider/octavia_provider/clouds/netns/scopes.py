# SPDX-License-Identifier: Apache-2.0
"""The reconcilers of the embedded cloud's own kinds: a network, a host. Each is a scope of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from octavia_provider.ports import Inventory, Record, Scope, Settlement, Store, fenced

from .cloud import NetnsCloud
from .specs import HostSpec, NetworkSpec
from .subnets import subnets

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LocalReconciler:
    """Brings about one network or one host. ``seen`` is told which hosts run."""

    store: Store
    cloud: NetnsCloud
    seen: Callable[[Mapping[str, bool]], None]
    scope: Scope
    _failed: bool = False

    def forget(self) -> None:
        """It remembers nothing of the cloud between cycles."""

    def retry_errors(self) -> bool:
        """Whether the last pass ended in ERROR: the next one tries again."""
        return self._failed

    def missing(self, inventory: Inventory) -> bool:
        """Whether it is not there any more."""
        return not inventory.has(self.scope.kind, self.scope.id)

    async def reconcile(self) -> bool:
        """Bring it about; False when it is gone."""
        records = await self.store.read(lambda tx: tx.find(scope_id=self.scope.id))
        scope = await self.store.read(lambda tx: tx.scope(self.scope.id))
        if not records or scope is None:
            return False
        record = records[0]
        if record.deleting:
            await self._delete(record)
            return False
        await self._ensure(record)
        self._failed = False
        if scope.applied < scope.generation or record.error:
            await self._settle(Settlement(
                scope_id=scope.id, generation=record.generation, accepted={record.id: record.spec}
            ))  # fmt: skip
            log.info("applied", kind=record.kind, id=record.id, generation=record.generation)
        return True

    async def fail(self, reason: str) -> bool:
        """Settle it as refused; False when it is being deleted, which is tried again."""
        records = await self.store.read(lambda tx: tx.find(scope_id=self.scope.id))
        if not records or records[0].deleting:
            return False
        self._failed = True
        errors = {records[0].id: reason}
        await self._settle(Settlement(scope_id=self.scope.id, generation=records[0].generation, errors=errors))
        return True

    async def _settle(self, settlement: Settlement) -> None:
        await self.store.write(fenced(self.scope, lambda tx: tx.settle(settlement)))

    async def _delete(self, record: Record) -> None:
        if record.kind == "local_network":
            await self.cloud.delete_network(record.id)
        else:
            await self.cloud.delete_host(record.id)
        await self.store.write(fenced(self.scope, lambda tx: tx.free_addresses(record.id)))
        await self._settle(Settlement(scope_id=self.scope.id, generation=record.generation))
        log.info("deleted", kind=record.kind, id=record.id)

    async def _ensure(self, record: Record) -> None:
        if record.kind == "local_network":
            await self.cloud.ensure_network(_network(record))
            return
        network_id = record.spec["network_id"]
        network = await self.store.read(lambda tx: tx.get("local_network", network_id))
        if network is None:
            return
        await self.cloud.ensure_network(_network(network))
        await self.cloud.ensure_host(_host(record, network))
        self.seen(await self.cloud.host_running())


def _network(record: Record) -> NetworkSpec:
    return NetworkSpec(id=record.id, cidr=record.spec["cidr"], ipv6_cidr=record.spec.get("ipv6_cidr"))


def _host(record: Record, network: Record) -> HostSpec:
    spec = record.spec
    ipv4, *rest = subnets(network)
    ipv6 = rest[0] if rest and spec.get("ipv6_address") else None
    return HostSpec(
        id=record.id,
        network_id=network.id,
        address=spec["address"],
        prefix=ipv4.cidr.prefixlen,
        gateway=ipv4.gateway,
        ipv6_address=spec["ipv6_address"] if ipv6 else None,
        ipv6_prefix=ipv6.cidr.prefixlen if ipv6 else None,
        ipv6_gateway=ipv6.gateway if ipv6 else None,
        command=tuple(spec["command"]),
        environment=dict(spec["environment"]),
        user=spec["user"],
        forward_port=spec["forward_port"],
    )
