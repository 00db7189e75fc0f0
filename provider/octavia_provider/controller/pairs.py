# SPDX-License-Identifier: Apache-2.0
"""The amphorae of a pair, as what is rendered for each of them is told of the others."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Iterable, Sequence

from octavia_amphora.wire.vrrp import Vrrp
from octavia_provider.planner.succession import ALONE
from octavia_provider.ports import Amphora, Vip
from octavia_provider.render import keepalived
from octavia_provider.render.listener import Peer

PRIORITIES = {"MASTER": 253, "BACKUP": 252}
"""Near the greatest, by which a takeover is sooner (RFC 9568, Skew_Time). Who is in service stays so, whatever they are."""
PREFERRED = 254


def router_id(load_balancer_id: str) -> int:
    """The VRRP group of a load balancer. Adverts go from address to address, so two of the same id on a network do not meet."""
    return 1 + zlib.crc32(load_balancer_id.encode()) % 255


def priority(amphora: Amphora) -> int | None:
    """Where all are well, who begins."""
    return PRIORITIES.get(amphora.role)


def vrrp(
    me: Amphora, amphorae: Iterable[Amphora], vips: Iterable[Vip], *, preferred: bool, advert_interval: float
) -> Vrrp | None:
    """What this amphora is told; None where it cannot be one of a pair yet."""
    served = [vip for vip in vips if vip.served]
    if not me.own or not served:
        return None
    others = [vip for amphora in amphorae if amphora.role != ALONE and amphora.id != me.id for vip in amphora.own]
    return keepalived.vrrp(
        keepalived.Instance(
            load_balancer_id=me.load_balancer_id,
            router_id=router_id(me.load_balancer_id),
            priority=PREFERRED if preferred else PRIORITIES[me.role],
            own=_addresses(me.own),
            peers=_addresses(others),
            vips=_addresses(served),
            advert_interval=advert_interval,
            preempt=preferred,
        )
    )


def peers(amphorae: Iterable[Amphora], served: Sequence[str]) -> tuple[Peer, ...]:
    """All of a pair, each at its own address beside the main VIP."""
    if not served:
        return ()
    found = ((amphora.id, own_beside(amphora, served[0])) for amphora in amphorae if amphora.role != ALONE)
    return tuple(Peer(name=id_, address=address) for id_, address in found if address is not None)


def own_beside(amphora: Amphora, vip: str) -> str | None:
    """The amphora's own address of a VIP's subnet."""
    here = (one for one in amphora.own if ipaddress.ip_address(vip) in _subnet(one))
    return next((one.address for one in here), None)


def _subnet(vip: Vip) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(f"{vip.address}/{vip.prefix}", strict=False)


def _addresses(vips: Iterable[Vip]) -> list[keepalived.Address]:
    return [keepalived.Address(address=vip.address, network_id=vip.network_id) for vip in vips]
