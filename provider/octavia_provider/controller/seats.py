# SPDX-License-Identifier: Apache-2.0
"""Where the amphorae of load balancers sit: on which amphora of their group, and who has to be told when that changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from octavia_provider.model import flavor
from octavia_provider.planner.succession import BACKUP
from octavia_provider.ports import DRAIN, Amphora, Transaction, flavor_data

KIND = "amphora_group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An amphora group as its load balancers see it. ``hosts``: its amphorae; ``seats``: what is on them."""

    id: str
    capacity: int
    hosts: tuple[Amphora, ...]
    seats: tuple[Amphora, ...]

    def places(self, load_balancer_id: str, own: Collection[Amphora] | None = None) -> list[Amphora]:
        """The hosts on which there is a place for this load balancer. ``own``: its amphorae, where they have changed since the group was read."""
        if own is None:
            own = [seat for seat in self.seats if seat.load_balancer_id == load_balancer_id]
        taken = {seat.host_id for seat in own}
        others = (seat.host_id for seat in self.seats if seat.load_balancer_id != load_balancer_id)
        on = Counter((*others, *taken))
        ready = (host for host in self.hosts if host.status == "ALLOCATED" and not host.retiring)
        return [host for host in ready if host.id not in taken and on[host.id] < self.capacity]


def read(tx: Transaction, group_id: str | None) -> Group | None:
    """The group, None where there is none."""
    record = tx.get(KIND, group_id) if group_id else None
    if record is None:
        return None
    hosts = tx.amphorae(record.id)
    seats = tx.seats(host.id for host in hosts)
    return Group(id=record.id, capacity=record.spec["capacity"], hosts=tuple(hosts), seats=tuple(seats))


def choose(tx: Transaction, group_id: str, seat: Amphora) -> str | None:
    """The host for a new seat; None where there is no place. Who is to serve goes where the fewest such are, so that all hosts work;
    a backup where the fewest seats are."""
    group = read(tx, group_id)
    if group is None:
        return None
    on = Counter(one.host_id for one in group.seats)
    serving = Counter(one.host_id for one in group.seats if one.role != BACKUP)
    first, second = (on, serving) if seat.role == BACKUP else (serving, on)
    places = group.places(seat.load_balancer_id)
    best = min(places, key=lambda h: (DRAIN in h.requests, first[h.id], second[h.id]), default=None)
    return best.id if best else None


def misplaced(amphorae: Iterable[Amphora], group: Group | None) -> Mapping[str, str]:
    """Amphora id → why it cannot stay where it is."""
    hosts = {host.id: host for host in group.hosts} if group else {}
    found: dict[str, str] = {}
    for amphora in amphorae:
        host = hosts.get(amphora.host_id or "")
        if group is None and amphora.host_id is not None:
            found[amphora.id] = "the load balancer leaves its amphora group"
        elif group is not None and host is None:
            found[amphora.id] = "the load balancer is to be on an amphora of its group"
        elif host is not None and host.retiring:
            found[amphora.id] = "the amphora that it is on is to be replaced"
    return found


def left(tx: Transaction, host_id: str) -> None:
    """A seat is free: where its host is to go, the group goes on."""
    host = tx.amphora(host_id)
    group = tx.get(KIND, host.load_balancer_id) if host else None
    if host is not None and group is not None and (host.retiring or group.deleting):
        tx.touch(group.scope_id)


def wake(tx: Transaction, group_id: str, host_ids: Collection[str] = ()) -> None:
    """Those load balancers look again that are on these hosts, or have not all the places that they want."""
    group = read(tx, group_id)
    if group is None:
        return
    staying = {host.id for host in group.hosts if not host.retiring}
    placed = Counter(seat.load_balancer_id for seat in group.seats if seat.host_id in staying)
    there = {seat.load_balancer_id for seat in group.seats if seat.host_id in host_ids}
    wanted: dict[str | None, int] = {}
    for user in tx.find("load_balancer", references=(KIND, group_id)):
        flavor_id = user.spec.get("flavor_id")
        if flavor_id not in wanted:
            wanted[flavor_id] = len(flavor.roles(flavor_data(tx, flavor_id)))
        if not user.deleting and placed[user.id] < wanted[flavor_id]:
            there.add(user.id)
    for load_balancer_id in there:
        if tx.scope(load_balancer_id) is not None:
            tx.touch(load_balancer_id)
