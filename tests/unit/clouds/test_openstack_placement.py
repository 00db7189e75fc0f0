# SPDX-License-Identifier: Apache-2.0
"""Servers of a group on compute hosts of their own. Without OpenStack; the real one: tests/openstack/test_guests.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from octavia_provider.clouds.openstack import names, placement
from octavia_provider.clouds.openstack.placement import Placement
from octavia_provider.clouds.openstack.settings import OpenStackSettings

SETTINGS = OpenStackSettings(management_network="m", heartbeat_address="192.0.2.1:5555", boot_timeout=5.0)


class Nova:
    """``hosts``: where the servers of b come to, one after the other. The server of a is on h1, in BUILD until it was looked at three times."""

    def __init__(self, *hosts: str) -> None:
        self.hosts: Iterator[str] = iter(hosts)
        self.there = {"a": self._server("a", "a", "h1", "BUILD")}
        self.looks = 0
        self.said: list[str] = []

    def _server(self, id_: str, amphora: str, host: str, status: str) -> dict[str, Any]:
        return {
            "id": id_,
            "status": status,
            "hostId": host,
            "tags": [names.load_balancer("lb"), names.amphora(amphora)],
        }

    async def make(self) -> dict[str, Any]:
        id_ = f"b{len(self.said)}"
        self.said.append(f"make {id_}")
        self.there[id_] = self._server(id_, "b", next(self.hosts), "ACTIVE")
        return {"id": id_}

    async def server(self, id_: str) -> Any:
        if id_ == "a":
            self.looks += 1
            self.there["a"]["status"] = "ACTIVE" if self.looks == 3 else "BUILD"
        return self.there.get(id_)

    async def servers(self, tag: str) -> list[Any]:
        return [one for one in self.there.values() if tag in one["tags"]]

    async def remove(self, id_: str, amphora: str) -> None:
        assert (amphora, self.there["a"]["status"]) == ("b", "ACTIVE"), "until then the scheduler does not know of it"
        self.said.append(f"remove {id_}")
        del self.there[id_]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "FIRST_PAUSE", 0.001)


async def made(nova: Nova, places: Placement, *others: str) -> str:
    return str((await places.make(nova.make, "lb", "b", others))["id"])


def of(nova: Nova) -> Placement:
    return Placement(cast("Any", nova), SETTINGS)


async def test_one_that_is_on_a_host_of_its_own_stays() -> None:
    nova = Nova("h2")
    assert await made(nova, of(nova), "a") == "b0"
    assert (nova.said, nova.looks) == (["make b0"], 0)


async def test_one_beside_another_is_made_anew_when_that_one_runs() -> None:
    nova = Nova("h1", "h2", "h1", "h2")
    places = of(nova)
    assert await made(nova, places, "a") == "b2"
    assert nova.said == ["make b0", "remove b0", "make b2"]
    nova.looks = 0
    await nova.remove("b2", "b")
    assert await made(nova, places, "a") == "b6"  # there is another host, so it is tried again


async def test_where_there_is_no_other_host_it_stays__and_the_next_one_is_not_made_anew() -> None:
    nova = Nova("h1", "h1", "h1")
    places = of(nova)
    assert await made(nova, places, "a") == "b2"
    del nova.there["b2"]
    assert await made(nova, places, "a") == "b3"
    assert nova.said == ["make b0", "remove b0", "make b2", "make b3"]


async def test_beside_an_amphora_that_it_need_not_be_apart_from_it_stays() -> None:
    nova = Nova("h1")
    assert await made(nova, of(nova), "another") == "b0"


async def test_one_that_is_deleted_or_gets_no_host_is_left_to_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "PLACING_SECONDS", 0.0)
    nova = Nova("", "")
    assert await made(nova, of(nova), "a") == "b0"
    nova.there["b0"]["status"] = "BUILD"
    nova.there.clear()
    nova.hosts = iter(["h1"])

    async def gone(_: str) -> None:
        return None

    monkeypatch.setattr(nova, "server", gone)
    assert await made(nova, of(nova), "a") == "b1"
