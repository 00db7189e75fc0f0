# SPDX-License-Identifier: Apache-2.0
"""What a VIP names is looked up before it is written, also for who has no token."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, cast

import pytest

from octavia_provider.api import visibility
from octavia_provider.api.graph_create import CreateRequest
from octavia_provider.model.errors import Invalid, Unreachable
from octavia_provider.ports import Named, NetworkLookup

NET, SUBNET, PORT = "net", "subnet", "port"


class Neutron:
    """It has some of what is asked for, or does not answer."""

    def __init__(self, *there: str, fails: Exception | None = None) -> None:
        self.there, self.fails = there, fails
        self.asked: list[str] = []

    async def missing(self, named: Collection[Named]) -> frozenset[Named]:
        self.asked += sorted(one.id for one in named)
        if self.fails is not None:
            raise self.fails
        return frozenset(one for one in named if one.id not in self.there)


def wanted(**values: Any) -> list[CreateRequest]:
    member = CreateRequest("member", {}, "p", path=("members", 0), values={"subnet_id": "nowhere"})
    return [CreateRequest("load_balancer", {}, "p", values=values), member]


async def look(neutron: Any, **values: Any) -> None:
    await visibility._require_there(cast("Any", neutron), wanted(**values))


async def test_what_a_vip_names_has_to_be_there() -> None:
    neutron = Neutron(NET)
    assert isinstance(neutron, NetworkLookup)
    more = {"additional_vips": [{"subnet_id": SUBNET}], "vip_sg_ids": ["g"], "vip_port_id": None}
    with pytest.raises(Invalid) as refused:
        await look(neutron, vip_network_id=NET, **more)
    assert [(one.path, one.message) for one in refused.value.violations] == [
        (("additional_vips", 0, "subnet_id"), "subnet subnet does not exist in Neutron; openstack subnet list shows what there is")
    ]  # fmt: skip
    assert neutron.asked == [NET, SUBNET], "security groups and members are not looked up"
    await look(Neutron(NET, SUBNET), vip_network_id=NET, vip_subnet_id=SUBNET)
    await look(object(), vip_network_id=NET)  # an embedded cloud says so in the transaction


@pytest.mark.parametrize("error", [Unreachable("does not answer", subject="Neutron"), TimeoutError()])
async def test_a_cloud_that_does_not_answer_holds_up_nobody(error: Exception) -> None:
    await look(Neutron(fails=error), vip_port_id=PORT)


async def test_it_is_waited_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visibility, "LOOK_UP_SECONDS", 0.01)

    class Silent:
        async def missing(self, named: Collection[Named]) -> frozenset[Named]:
            await asyncio.Event().wait()
            raise AssertionError

    await look(Silent(), vip_network_id=NET)
