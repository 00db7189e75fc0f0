# SPDX-License-Identifier: Apache-2.0
"""The certificate authority is rotated: whatever ends, is paused or is booted meanwhile, both sides believe each other."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from cryptography import x509

from octavia_provider.controller.certificate_rotation import INTERVAL
from octavia_provider.pki import CertificateAuthority

from . import checks
from .cloud import NETWORK
from .loop import START, run
from .site import PAIR, ControlPlane, Site, site

BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Clock:
    """The loop's; ``ahead`` is added."""

    def __init__(self, ahead: dt.timedelta = dt.timedelta(0)) -> None:
        self.ahead = ahead

    def __call__(self) -> dt.datetime:
        return BEGAN + dt.timedelta(seconds=asyncio.get_running_loop().time() - START) + self.ahead


async def kept(made: Site) -> CertificateAuthority:
    return await made.store.read(lambda tx: CertificateAuthority.load(tx.secret, made.store.control_plane_id))


async def rotate(plane: ControlPlane) -> None:
    assert (await plane.api.call("POST", "/octavia/certificate-authority/rotation")).status == 202


async def told(plane: ControlPlane) -> dict[str, Any]:
    """What operators are told of the authority."""
    answer = await plane.api.call("GET", "/octavia/control-plane")
    return dict(answer.body["control_plane"]["certificate_authority"])


async def until_rotated(made: Site, before: str) -> CertificateAuthority:
    """Until the authority is another one, and every agent trusts that alone and shows a certificate of it."""
    async with asyncio.timeout(1000):
        while True:
            now = await kept(made)
            amphorae = await made.store.read(lambda tx: tx.amphorae())
            if (
                now.issuer != before
                and not now.phase
                and all((a.issuer, a.trusted) == (now.issuer,) * 2 for a in amphorae)
            ):
                break
            await asyncio.sleep(0.5)
    for server in made.world.servers.values():
        assert server.trusts == now.certificate
        x509.load_pem_x509_certificate(server.shows).verify_directly_issued_by(
            x509.load_pem_x509_certificate(now.certificate)
        )
    return now


def test_a_rotation_leaves_no_gap_and_restarts_nothing() -> None:
    async def story() -> None:
        async with site(roles=PAIR, clock=Clock()) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            before = await kept(made)
            await rotate(plane)
            await rotate(plane)  # goes on with the one that is under way
            after = await until_rotated(made, before.issuer)
            assert after.certificate != before.certificate
            assert (made.world.disbelieved, made.world.calls["restart_agent"]) == (0, 0)
            await checks.is_whole(made, lb["id"])
            async with asyncio.timeout(2 * INTERVAL):
                while (facts := await told(plane))["waiting"]:  # noqa: ASYNC110 - it is as of the last look
                    await asyncio.sleep(1.0)
            assert (facts["issuer"], facts["phase"], facts["waiting"]) == (after.issuer, None, [])

    run(story())


@pytest.mark.parametrize("seconds", [1, 12, 25, 38])
def test_a_rotation_goes_on_after_a_restart_and_with_what_is_made_meanwhile(seconds: int) -> None:
    async def story() -> None:
        async with site(roles=PAIR, clock=Clock()) as made:
            plane = await made.start()
            first = await made.balancer(plane)
            before = (await kept(made)).issuer
            await rotate(plane)
            await asyncio.sleep(seconds)
            await plane.kill()
            second = await made.write("load_balancer", vip_network_id=NETWORK)
            again = await made.start()
            await until_rotated(made, before)
            await made.when_settled(second)
            await made.until(lambda: again.controller.troubles() == {})
            for lb_id in (first["id"], second):
                await checks.is_whole(made, lb_id)
            assert made.world.calls["restart_agent"] == 0

    run(story())


def test_several_control_planes_follow_a_rotation__one_that_was_paused_too() -> None:
    async def story() -> None:
        async with site(clock=Clock()) as made:
            planes = [await made.start(holder=f"plane {number}") for number in range(3)]
            ids = [await made.write("load_balancer", vip_network_id=NETWORK) for _ in range(4)]
            for lb_id in ids:
                await made.when_settled(lb_id)
            before = (await kept(made)).issuer
            await rotate(planes[0])
            planes[1].lifeline.going.clear()
            await asyncio.sleep(30)
            planes[1].lifeline.going.set()
            await until_rotated(made, before)
            for lb_id in ids:
                await made.write("listener", loadbalancer_id=lb_id, protocol="TCP", protocol_port=80)
                await made.when_settled(lb_id)
                await checks.is_whole(made, lb_id)

    run(story())


def test_an_amphora_that_cannot_be_reached_holds_up_the_rotation_and_is_named() -> None:
    async def story() -> None:
        async with site(roles=PAIR, clock=Clock()) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            before = (await kept(made)).issuer
            deaf = made.world.live(lb["id"])[0]
            deaf.answering = False
            await rotate(plane)
            await asyncio.sleep(120)
            facts = (await plane.api.call("GET", "/octavia/control-plane")).body["control_plane"][
                "certificate_authority"
            ]
            assert (facts["phase"], facts["waiting"]) == ("trust", [deaf.instance.amphora_id])
            deaf.answering = True
            await until_rotated(made, before)

    run(story())


def test_an_authority_that_ends_within_a_year_is_rotated_by_itself() -> None:
    async def story() -> None:
        clock = Clock()
        async with site(clock=clock) as made:
            plane = await made.start()
            await made.balancer(plane)
            before = await kept(made)
            clock.ahead = dt.timedelta(days=3650 - 364)
            after = await until_rotated(made, before.issuer)
            assert after.expires > before.expires

    run(story())
