# SPDX-License-Identifier: Apache-2.0
"""Golden files of keepalived's configuration, each accepted by the real ``keepalived --config-test``."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from octavia_amphora.vrrp.files import configuration_text
from octavia_provider.render.keepalived import Address, Instance, vrrp

GOLDEN = Path(__file__).parents[2] / "golden" / "keepalived"
ID = "6f0f5d6e-0000-4000-8000-000000000001"


def on(network: str, *addresses: str) -> list[Address]:
    return [Address(address=address, network_id=network) for address in addresses]


IPV4 = Instance(
    load_balancer_id=ID, router_id=51, priority=240, own=on("a", "10.0.0.11"), peers=on("a", "10.0.0.12"),
    vips=on("a", "10.0.0.9"),
)  # fmt: skip
CASES = {
    "ipv4": IPV4,
    "ipv6": Instance(
        load_balancer_id=ID, router_id=255, priority=230, advert_interval=10,
        own=on("a", "10.0.0.11", "fd00::11"), peers=on("a", "10.0.0.12", "fd00::12"), vips=on("a", "fd00::9"),
    ),
    "both-families-two-networks": replace(
        IPV4, advert_interval=0.1,
        own=[*on("a", "10.0.0.11", "fd00::11"), *on("b", "10.1.0.11")],
        peers=[*on("a", "10.0.0.12", "fd00::12", "10.0.0.13", "fd00::13"), *on("b", "10.1.0.12", "10.1.0.13")],
        vips=[*on("a", "10.0.0.9", "fd00::9"), *on("b", "10.1.0.9")],
    ),
    "preferred": replace(IPV4, priority=254, preempt=True),
    "no-peer": replace(IPV4, peers=[]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_renders_as_it_did_and_keepalived_takes_it(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = vrrp(CASES[name])
    links = {interface: f"eth{n}" for n, interface in enumerate(found.interfaces, start=1)}
    text = configuration_text(found, links, name="amphora-1", folder=tmp_path).replace(str(tmp_path), "/run/lb")
    golden = GOLDEN / f"{name}.conf"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text()
    _keepalived_takes(golden, tmp_path)


def _keepalived_takes(golden: Path, tmp_path: Path) -> None:
    """It looks for the interfaces: they are in a network namespace of its own."""
    tested = tmp_path / "keepalived.conf"
    tested.write_text(golden.read_text().replace("/run/lb", str(tmp_path)))
    make = "ip link add eth1 type veth peer name eth2"
    command = ["unshare", "--net", "sh", "-c", f"{make} && exec keepalived --config-test --use-file {tested}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_nothing_but_words_comes_into_it() -> None:
    with pytest.raises(ValueError, match="no word"):
        vrrp(replace(IPV4, load_balancer_id="a } include /etc/passwd"))
