# SPDX-License-Identifier: Apache-2.0
"""Certificates that come to their end under a whole installation: renewed without a failed request or another haproxy.

The control plane runs in this process, for its clock: TLS itself knows no clock but the machine's, so certificates
are issued in the past.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from octavia_provider import app
from octavia_provider.controller import amphorae, certificate_rotation
from octavia_provider.controller.controller import Controller

from .expiry import EXPIRED, Clock, authority, let_expire
from .installation import Installation, Load, Stack, make_stack, until

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
NEAR_ITS_END = dt.timedelta(days=25)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_rotation, "INTERVAL", 0.1)


@pytest.fixture
async def site(short_home: Path) -> AsyncIterator[Installation]:
    made = Installation(short_home)
    yield made
    await asyncio.to_thread(made.purge)


@contextlib.asynccontextmanager
async def control_plane(site: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    """In this process."""
    monkeypatch.setattr(app, "_authority", partial(authority, clock=clock))
    async with app.embedded(app.Settings(home=site.home, idle_seconds=None), stop=lambda: None) as running:
        yield running


class Running:
    """What must not change while certificates do; entered: its clients ask without pause."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.before = self._haproxies()

    def _haproxies(self) -> tuple[list[int], list[int]]:
        return self.stack.site.masters(), self.stack.site.workers()

    async def through(self, step: Callable[[], Any]) -> Any:
        """Carry out a step with traffic: no request fails, and the same haproxy serves."""

        def work() -> Any:
            with Load(self.stack.url) as load:
                done = step()
                load.more()
            assert load.failures == []
            return done

        done = await asyncio.to_thread(work)
        assert self._haproxies() == self.before
        return done


def expires(site: Installation) -> dt.datetime:
    (amphora,) = site.get_json("/v2/octavia/amphorae")["amphorae"]
    return dt.datetime.fromisoformat(amphora["cert_expiration"]).replace(tzinfo=dt.UTC)


def listed(site: Installation) -> list[dict[str, Any]]:
    return [
        *site.get_json("/v2/lbaas/loadbalancers")["loadbalancers"],
        *site.get_json("/v2/lbaas/listeners")["listeners"],
    ]


def renewed(site: Installation) -> None:
    until(lambda: expires(site) > dt.datetime.now(dt.UTC) + dt.timedelta(days=29), what="another certificate")


def two_files(make: Callable[..., Mapping[str, tuple[int, bytes]]]) -> Any:
    """The files of an amphora as they were: key and certificate apart."""

    def files(*args: Any, **options: Any) -> dict[str, tuple[int, bytes]]:
        made = dict(make(*args, **options))
        settings = msgspec.json.decode(made[f"{amphorae.DIRECTORY}/agent.json"][1])
        settings["key"] = f"{amphorae.DIRECTORY}/agent.key"
        made[settings["key"]] = made[settings["certificate"]]
        return {**made, f"{amphorae.DIRECTORY}/agent.json": (0o600, msgspec.json.encode(settings))}

    return files


@pytest.mark.parametrize("earlier", [False, True])
async def test_near_its_end__renewed(
    site: Installation, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:  # fmt: skip
    clock = Clock(NEAR_ITS_END)
    async with control_plane(site, clock, monkeypatch):
        with monkeypatch.context() as patched:
            if earlier:
                patched.setattr(amphorae, "files", two_files(amphorae.files))
            stack = await asyncio.to_thread(partial(make_stack, site, members=2))
        agent, running = site.agent(), Running(stack)
        assert await asyncio.to_thread(expires, site) < dt.datetime.now(dt.UTC) + dt.timedelta(days=6)

        def pass_the_time() -> None:
            clock.ago = dt.timedelta(0)
            renewed(site)
            stack.change_member("m1", weight=3)

        await running.through(pass_the_time)
        assert (site.agent() == agent) is not earlier
        (shown,) = (await asyncio.to_thread(site.get_json, "/v2/octavia/status"))["status"]["load_balancers"]
        assert dt.datetime.fromisoformat(shown["amphorae"][0]["certificate_expires"]) > dt.datetime.now(dt.UTC)


async def test_slept_past_the_end__recovers(site: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    async with control_plane(site, Clock(dt.timedelta(0)), monkeypatch):
        stack = await asyncio.to_thread(partial(make_stack, site, members=2))
    running = Running(stack)
    await let_expire(site)
    clock = Clock(EXPIRED.ago)
    async with control_plane(site, clock, monkeypatch) as controller:  # its own certificate has expired as well

        def troubled() -> bool:
            return any("has expired" in trouble for trouble in controller.troubles().values())

        await running.through(lambda: until(troubled, what="an agent that is not believed"))
        assert all(one["provisioning_status"] == "ACTIVE" for one in await asyncio.to_thread(listed, site))

        def wake_up() -> None:
            clock.ago = dt.timedelta(0)
            renewed(site)
            stack.change_member("m1", weight=3)

        await running.through(wake_up)
