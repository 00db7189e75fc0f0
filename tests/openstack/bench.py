# SPDX-License-Identifier: Apache-2.0
"""What balancers cost OpenStack: calls of each service, and the time until the first answer. ``make bench-openstack``, with fake guests.

``bench.py [--balancers N]…``: for each N so many are made at once, looked at while nothing happens, and deleted. No test: it shows what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import aiohttp

from octavia_provider import app
from octavia_provider.clouds.openstack.session import Session
from octavia_provider.kit import logfile, paths
from octavia_provider.settings import Settings

from .guests import Guests
from .project import Project, project

IDLE_SECONDS = 60.0
"""How long calls are counted while nothing happens: two inventories at least."""
PORT = 8080
PATIENCE = 1800.0
BALANCERS = "/v2/lbaas/loadbalancers"


class GuestsOfThisProcess(Guests):
    """They begin and end as the control plane in this process learns of their servers: nobody asks Nova for that."""

    def __enter__(self) -> Self:
        return self


class Counted:
    """Wraps the calls of the control plane in this process. ``calls``: by service and method; ``booting``: seconds from the order of each server
    until Nova has it ACTIVE, by its id. ``guests``: what runs in servers."""

    def __init__(self, guests: Guests) -> None:
        self.calls: Counter[str] = Counter()
        self._ordered: dict[str, float] = {}
        self.booting: dict[str, float] = {}
        call = Session.call
        ordered: dict[str, SimpleNamespace] = {}  # that are not ACTIVE yet

        async def counted(session: Session, service: str, method: str, path: str, **more: Any) -> Any:
            self.calls[f"{service} {method}"] += 1
            began = time.monotonic()
            answer = await call(session, service, method, path, **more)
            server = answer.get("server") or {}
            if method == "POST" and path == "/servers":
                self._ordered[server["id"]] = began
                ordered[server["id"]] = SimpleNamespace(
                    id=server["id"], **{one: more["body"]["server"][one] for one in ("name", "user_data")}
                )
            elif server.get("status") == "ACTIVE" and server["id"] in ordered:
                self.booting[server["id"]] = time.monotonic() - self._ordered[server["id"]]
                await asyncio.to_thread(guests.start, ordered.pop(server["id"]))
            elif method == "DELETE" and path.removeprefix("/servers/") in guests.running:
                await asyncio.to_thread(guests.end, path.removeprefix("/servers/"))
            return answer

        Session.call = counted  # type: ignore[method-assign]

    def since(self, before: Counter[str], of: int) -> str:
        """What was called since then, for one of so many."""
        new = self.calls - before
        by_service = Counter[str]()
        for name, count in new.items():
            by_service[name.partition(" ")[0]] += count
        shares = ", ".join(f"{service} {count / of:.1f}" for service, count in sorted(by_service.items()))
        return f"{sum(new.values()) / of:.1f} ({shares or 'none'})"


class Site:
    """A control plane in this process, asked by its API."""

    def __init__(self, home: Path, where: Project) -> None:
        self._connector = aiohttp.UnixConnector(str(paths.api_socket(home)), limit=200)
        self.http = aiohttp.ClientSession(connector=self._connector, base_url="http://octavia")
        self.subnet = where.subnets["vips"]

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        async with self.http.request(method, path, json=body) as answer:
            return await answer.json() if answer.content_type == "application/json" else None

    async def make(self, name: str) -> dict[str, Any]:
        """A load balancer with a listener."""
        body = {"name": name, "vip_subnet_id": self.subnet, "listeners": [{"protocol": "HTTP", "protocol_port": PORT}]}
        found: dict[str, Any] = (await self.ask("POST", BALANCERS, {"loadbalancer": body}))["loadbalancer"]
        return found

    async def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Until it is so of all load balancers."""
        deadline = time.monotonic() + PATIENCE
        while not condition((await self.ask("GET", BALANCERS))["loadbalancers"]):
            if time.monotonic() > deadline:
                raise SystemExit(f"gave up after {PATIENCE:g} s")
            await asyncio.sleep(0.1)


def answers(address: str) -> bool:
    """Whether haproxy answers at a VIP: 503, for there is no pool."""
    try:
        connection = http.client.HTTPConnection(address, PORT, timeout=2)
        connection.request("GET", "/")
        return connection.getresponse().status == 503
    except OSError:
        return False


async def first_answer(site: Site, counted: Counted) -> None:
    """From the POST of one load balancer to the first answer at its VIP, and what of it is Nova's."""
    booted, began = set(counted.booting), time.monotonic()
    made = await site.make("first")
    address = ""
    while not address or not await asyncio.to_thread(answers, address):
        address = (await site.ask("GET", f"{BALANCERS}/{made['id']}"))["loadbalancer"]["vip_address"] or ""
        await asyncio.sleep(0.02)
    total = time.monotonic() - began
    (nova,) = [seconds for id_, seconds in counted.booting.items() if id_ not in booted]
    print(
        f"create → first answer: {total:.1f} s, of which Nova's boot {nova:.1f} s; the rest {total - nova:.1f} s",
        flush=True,
    )
    await delete(site)


async def delete(site: Site) -> None:
    """All that there are."""
    for one in (await site.ask("GET", BALANCERS))["loadbalancers"]:
        await site.ask("DELETE", f"{BALANCERS}/{one['id']}?cascade=true")
    await site.until(lambda there: not there)


async def many(site: Site, counted: Counted, count: int) -> None:
    """So many at once."""

    async def measured(what: str, work: Awaitable[Any], of: int) -> None:
        before, began = counted.calls.copy(), time.monotonic()
        await work
        print(f"{count:4d} {what}: {counted.since(before, of)} calls, {time.monotonic() - began:.0f} s", flush=True)

    async def made() -> None:
        await asyncio.gather(*(site.make(f"web{number}") for number in range(count)))
        await site.until(lambda there: all(one["provisioning_status"] == "ACTIVE" for one in there))

    booted = set(counted.booting)
    await measured("balancers made, each", made(), count)
    seconds = [seconds for id_, seconds in counted.booting.items() if id_ not in booted]
    print(f"     a server of Nova is ACTIVE after {statistics.median(seconds):.1f} s (median)", flush=True)
    await asyncio.sleep(IDLE_SECONDS / 2)  # what follows a boot is over
    await measured(f"balancers there, in {IDLE_SECONDS:g} s, all together", asyncio.sleep(IDLE_SECONDS), 1)
    await measured("balancers deleted, each", delete(site), count)


async def main(asked: list[int]) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="oct-") as folder,
        project(os.environ["OPENSTACK_TEST_CLOUD"], Path(folder)) as where,
    ):
        os.environ |= {
            "OS_CLIENT_CONFIG_FILE": str(where.clouds_file), "OCTAVIA_OPENSTACK_MANAGEMENT_NETWORK": where.networks["management"],
            "OCTAVIA_OPENSTACK_HEARTBEAT_ADDRESS": "127.0.0.1:15998", "OCTAVIA_OPENSTACK_COMPUTE_FLAVOR": "amphora",
        }  # fmt: skip
        home = Path(folder) / "h"
        home.mkdir(mode=0o700)
        logfile.configure(home / "control-plane.log")
        settings = Settings(home=home, cloud="openstack", os_cloud="test")
        with GuestsOfThisProcess(where) as guests:
            counted = Counted(guests)
            async with app.embedded(settings, stop=lambda: None):
                site = Site(home, where)
                await first_answer(site, counted)
                for count in asked:
                    await many(site, counted, count)
                await site.http.close()
        print(f"left in the cloud: {where.left() or 'nothing'}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "", allow_abbrev=False)
    parser.add_argument(
        "--balancers", type=int, action="append", metavar="N", help="how many at once (default: 1, 10, 50)"
    )
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors", flush=True)
    asyncio.run(main(parser.parse_args().balancers or [1, 10, 50]))
