# SPDX-License-Identifier: Apache-2.0
"""The addresses of a load balancer, where a cloud gives them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from octavia_provider.controller.addresses import Addresses
from octavia_provider.model import allocated
from octavia_provider.ports import Allocation, Record, Scope, Vip

VIP = Vip(address="192.0.2.5", network_id="n", prefix=24)
CHOSEN = {
    "vip_address": VIP.address,
    "vip_port_id": "new",
    "vip_subnet_id": "s",
    "vip_network_id": "n",
    "additional_vips": [],
}


class Cloud:
    """``ports.RemoteAllocation``; counts what it is asked for."""

    def __init__(self) -> None:
        self.asked, self.unsupported = 0, dict[str, str]()

    async def allocate(self, load_balancer: Record) -> Allocation:
        self.asked += 1
        return Allocation(values=CHOSEN, vips=(VIP,))

    async def own(self, *_: Any) -> tuple[Vip, ...]:
        return ()

    async def release(self, *_: Any) -> None:
        pass


class Store:
    async def write(self, work: Any) -> None:
        pass


def record(**values: Any) -> Record:
    spec = {**CHOSEN, "vip_port_id": "old", allocated.CARRIED: [asdict(VIP)], **values}
    return Record(id="lb", kind="load_balancer", scope_id="lb", project_id="p", spec=spec, generation=1)


async def test_what_may_be_gone_is_asked_for_anew_and_amphorae_carry_it_meanwhile() -> None:
    cloud = Cloud()
    addresses = Addresses(cloud)  # type: ignore[arg-type]
    addresses.read(None, record())  # type: ignore[arg-type]
    assert addresses.allocated
    addresses.doubt()
    addresses.read(None, record())  # type: ignore[arg-type]
    assert (addresses.allocated, addresses.vips) == (False, (VIP,))
    known = await addresses.allocate(Store(), Scope(id="lb", kind="load_balancer"), record())  # type: ignore[arg-type]
    assert (addresses.allocated, cloud.asked, known.spec["vip_port_id"]) == (True, 1, "new")
