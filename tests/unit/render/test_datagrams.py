# SPDX-License-Identifier: Apache-2.0
"""UDP from model to nftables: golden files of what the agent makes of what is rendered, and what is told as data.

``pytest --update-golden`` writes the files anew. The real ``nft -c`` reads each, in a network namespace of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

import hash_seeds
from builders import graph, resource
from octavia_amphora.nftables.ruleset import Ruleset, ruleset
from octavia_amphora.nftables.transactions import Present, transactions
from octavia_amphora.wire.config import Probe, apply, difference, digest
from octavia_provider.model.graph import Graph
from octavia_provider.render.haproxy import Placement, render

GOLDEN = Path(__file__).parents[2] / "golden" / "nftables"
HERE = Placement(vips=("10.0.0.9",), proxy_address="100.64.0.3")
BOTH = Placement(vips=("10.0.0.9", "fd00::9"))
UDP = "pool:web"


def udp(*more: object, listener: dict[str, object] | None = None, **pool: object) -> Graph:
    return graph(
        resource("listener", "web", **{"protocol": "UDP", "protocol_port": 53, **(listener or {})}),
        resource("pool", "pool", **{"protocol": "UDP", **pool}),
        resource("member", "m1", weight=3),
        resource("member", "m2", address="10.0.0.12", protocol_port=5000),
        *more,
    )


V6 = resource("member", "m6", address="fd00::16")
PERSISTENCE = {"type": "SOURCE_IP", "persistence_timeout": 60, "persistence_granularity": "255.255.255.0"}
NONE: frozenset[tuple[str, str]] = frozenset()
CASES = {
    "udp": (udp(), HERE, NONE),
    "one-down": (udp(), HERE, frozenset({(UDP, "m1")})),
    "all-down": (udp(), HERE, frozenset({(UDP, "m1"), (UDP, "m2")})),
    "drained-and-backup": (
        udp(resource("member", "m3", address="10.0.0.13", weight=0), resource("member", "m4", address="10.0.0.14", backup=True)),
        HERE,
        NONE,
    ),
    "both-families": (udp(V6), BOTH, NONE),
    "persistence": (udp(V6, session_persistence=PERSISTENCE), BOTH, NONE),
    "limit": (udp(listener={"connection_limit": 5}), HERE, NONE),
    "allowed": (udp(V6, listener={"allowed_cidrs": ("10.0.0.0/8", "10.1.0.0/16", "fd00::/8")}), BOTH, NONE),
    "allowed-tcp": (
        graph(resource("listener", "web", protocol="TCP", allowed_cidrs=("10.0.0.0/8",))), BOTH, NONE,
    ),
    "off": (udp(listener={"admin_state_up": False}), HERE, NONE),
}  # fmt: skip


def made(case: str) -> Ruleset:
    graph_, placement, down = CASES[case]
    return ruleset(render(graph_, placement).configuration, down)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / f"{case}.nft"
    text = made(case).text
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.netns
@pytest.mark.parametrize("case", CASES)
def test_nft_accepts_it__and_every_way_from_one_to_another(case: str) -> None:
    assert shutil.which("nft")
    texts = [made(case).text]
    for other in CASES:
        for one, another in ((case, other), (other, case)):
            texts += transactions(made(another), made(one), Present.of(made(one)))
    script = "set -e\n" + "".join(f"nft -f - <<'END'\n{text}END\n" for text in texts) + "nft -t list ruleset\n"
    done = subprocess.run(["unshare", "--net", "bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Present.read(done.stdout) == Present.of(made(case))


def test_is_the_same_in_every_process() -> None:
    assert hash_seeds.printed(
        "from unit.render.test_datagrams import CASES, Ruleset, made\nfor name in CASES: print(name, made(name).text)"
    )


@pytest.mark.parametrize("algorithm", ["SOURCE_IP", "SOURCE_IP_PORT"])
def test_a_hash_s_buckets_are_the_same_each_time(algorithm: str) -> None:
    text = hash_seeds.printed(
        "from unit.render.test_datagrams import HERE, render, ruleset, udp\n"
        f"print(ruleset(render(udp(lb_algorithm={algorithm!r}), HERE).configuration).text)"
    )
    source = "ip saddr . udp sport" if algorithm == "SOURCE_IP_PORT" else "ip saddr"
    assert f"dnat ip to jhash {source} mod 2039 seed" in text


def test_a_delta_carries_udp_probes_and_filters() -> None:
    monitor = resource("health_monitor", "hm", type="UDP-CONNECT")
    old, new = (
        render(g, HERE).configuration for g in (graph(), udp(monitor, listener={"allowed_cidrs": ("10.0.0.0/8",)}))
    )
    for one, other in ((old, new), (new, old), (new, render(udp(), HERE).configuration)):
        delta = msgspec.json.decode(msgspec.json.encode(difference(one, other)), type=type(difference(one, other)))
        assert digest(apply(one, delta)) == digest(other)


def test_monitors_that_the_agent_checks() -> None:
    monitor = resource(
        "health_monitor", "hm", type="HTTP", expected_codes="200,300-302", http_version="1.1", domain_name="a.example"
    )
    backend = render(udp(monitor), HERE).configuration.backends[UDP]
    codes = ((200, 200), (300, 302))
    assert backend.probe == Probe("http", 5.0, 2.0, 2, 3, version="1.1", host="a.example", codes=codes)
