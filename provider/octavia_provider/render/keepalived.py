# SPDX-License-Identifier: Apache-2.0
"""One load balancer on one amphora of a pair → its ``vrrp_instance``, from ``templates/keepalived``.

All shared addresses of both families are in one instance: they move together, by one election. Adverts go between addresses of
the amphorae's own, of the main address's network and family.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octavia_amphora.wire.vrrp import Vrrp

if TYPE_CHECKING:
    from jinja2 import Template

_WORD = re.compile(r"[A-Za-z0-9.:_/-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address on a network."""

    address: str
    network_id: str

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.address).version


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What one amphora of a pair is told. ``own``: its own addresses, at least one on each network of ``vips``.

    ``peers``: all own addresses of the others. ``vips``: the shared addresses, the main one first. ``router_id``: 1 to 255, the
    same on all amphorae and no other's on the network. ``priority``: 1 to 254. ``advert_interval``: seconds. ``preempt``: it
    takes the addresses from who has them and has a lower priority.
    """

    load_balancer_id: str
    router_id: int
    priority: int
    own: Sequence[Address]
    peers: Sequence[Address]
    vips: Sequence[Address]
    advert_interval: float = 0.2
    preempt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    address: str
    prefix: int
    interface: str


def vrrp(instance: Instance) -> Vrrp:
    """What the agent of that amphora is pushed."""
    main = instance.vips[0]
    source = _address_on(instance.own, main)
    names: dict[str, str] = {}  # network → the name of its interface
    for one in (source, *instance.own):
        names.setdefault(one.network_id, f"INTERFACE_{len(names) + 1}")
    networks = list(dict.fromkeys(vip.network_id for vip in instance.vips))
    served = [
        _Served(
            address=vip.address, prefix=32 if vip.version == 4 else 128, interface=names[vip.network_id]
        )
        for vip in instance.vips
    ]  # fmt: skip
    peers = [p.address for p in instance.peers if (p.network_id, p.version) == (source.network_id, source.version)]
    text = _template().render(
        instance=instance, source=source.address, peers=peers, interface=names[source.network_id], served=served,
        others=[names[network] for network in networks if network != source.network_id],
    )  # fmt: skip
    found = {names[network]: _first_on(instance.own, network) for network in networks}
    vips = tuple(f"{one.address}/{one.prefix}" for one in served)
    return Vrrp(
        text, instance.router_id, found, tuple(peers), vips, advert_interval=instance.advert_interval,
        forwards=tuple(_forward(instance, number) for number in range(len(peers))),
    )  # fmt: skip


def _forward(instance: Instance, number: int) -> dict[str, tuple[str, str]]:
    """By what addresses the peer with this number is reached, for each shared address: each has one in each subnet."""
    found = {}
    for vip in instance.vips:
        theirs, ours = (
            [one.address for one in there if (one.network_id, one.version) == (vip.network_id, vip.version)]
            for there in (instance.peers, instance.own)
        )
        if ours and number < len(theirs):
            found[vip.address] = (theirs[number], ours[0])
    return found


def _address_on(own: Sequence[Address], main: Address) -> Address:
    """The own address that adverts of the main one come from: on its network, of its family if there is one."""
    here = [one for one in own if one.network_id == main.network_id]
    return next((one for one in here if one.version == main.version), here[0])


def _first_on(own: Sequence[Address], network_id: str) -> str:
    return next(one.address for one in own if one.network_id == network_id)


def _word(value: object) -> str:
    """One word of keepalived's, which has no quoting: nothing that a user gives comes here but addresses and ids."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if not _WORD.fullmatch(text):
        raise ValueError(f"{text!r} is no word of keepalived.conf")
    return text


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("octavia_provider.render"), finalize=_word, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,  # noqa: S701 - keepalived's words, not HTML's
    )  # fmt: skip
    return environment.get_template("keepalived/vrrp_instance.j2")
