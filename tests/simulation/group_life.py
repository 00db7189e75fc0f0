# SPDX-License-Identifier: Apache-2.0
"""Lives with two amphora groups: load balancers are made in them, moved, and lose what they are on."""

from __future__ import annotations

from octavia_provider.controller import seats
from octavia_provider.ports import Transaction

from . import steps
from .cloud import NETWORK
from .life import Living, _of
from .store import commit

GROUPS = (None, 0, 1)
SIZE = 4
RULES: steps.Rules = {
    **steps.RULES,
    "fail": (2, (steps._among(*steps.CALLS, "attach", "detach", "remove"), steps._among(1, 2, 3))),
    "regroup": (5, (steps._one, steps._among(*GROUPS))),
    "resize": (2, (steps._one, steps._among(SIZE - 1, SIZE, SIZE + 1))),
    "fail_over_host": (2, (steps._one, steps._one)),
}


def draw(seed: int) -> steps.Life:
    return steps.draw(seed, RULES, GroupLiving)


class GroupLiving(Living):
    """Each load balancer begins in another group, or in none."""

    async def begin(self, seed: int) -> None:
        await super().begin(seed)
        self.groups = [await self.site.write("amphora_group", size=SIZE) for _ in range(2)]

    async def make(self) -> None:
        place = (len(self.balancers) + 1) % len(GROUPS)
        group = self._group(GROUPS[place])
        self.balancers.append(await self.site.write("load_balancer", vip_network_id=NETWORK, amphora_group_id=group))

    def _group(self, number: int | None) -> str | None:
        return None if number is None else self.groups[number]

    async def regroup(self, which: int, group: int | None) -> None:
        if balancer := _of(self.balancers, which):
            await self._change("load_balancer", balancer, amphora_group_id=self._group(group))

    async def resize(self, which: int, size: int) -> None:
        await self._change("amphora_group", _of(self.groups, which), size=size)

    async def fail_over_host(self, which: int, of: int) -> None:
        group_id = _of(self.groups, which)

        def work(tx: Transaction) -> None:
            if host := _of(tx.amphorae(group_id), of):
                tx.retire([host.id])
                tx.touch(group_id)

        await commit(self.site.store, work)

    async def fail_over(self, which: int, whom: str) -> None:
        """The API refuses it where there is no place for another one."""
        balancer = _of(self.balancers, which)

        def has_room(tx: Transaction) -> bool:
            record = tx.get("load_balancer", balancer) if balancer else None
            group = seats.read(tx, record.spec["amphora_group_id"]) if record else None
            return group is None or bool(group.places(balancer))

        if await self.site.store.read(has_room):
            await super().fail_over(which, whom)

    async def empty(self) -> None:
        for group_id in self.groups:
            await self._delete("amphora_group", group_id)
        for group_id in self.groups:
            await self.site.when_settled(group_id)
