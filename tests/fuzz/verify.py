# SPDX-License-Identifier: Apache-2.0
"""Many balancers in one file, to haproxy and to nft; what they refuse is found by halves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from octavia_amphora.apply.files import Files
from octavia_amphora.haproxy import global_section
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.nftables.ruleset import ruleset
from octavia_amphora.nftables.transactions import Present, transactions
from octavia_amphora.wire.config import Bind, Configuration, compose
from octavia_provider.model.graph import Graph
from octavia_provider.render.haproxy import Placement, render

from . import oracle
from .generators.chance import Draw
from .generators.values import Body

IN_A_NAMESPACE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
VIPS = {(4,): ("10.0.0.9",), (6,): ("fd00::9",), (4, 6): ("10.0.0.9", "fd00::9")}


@dataclass(frozen=True, slots=True)
class Accepted:
    """A balancer that the model accepts, and what is made of it: ``packets`` leads from nothing to all members alive, then
    to one dead in each pool."""

    name: str
    body: Body
    configuration: Configuration
    packets: str


def placed(graph: Graph, draw: Draw) -> Placement:
    """Where an amphora listens: at the VIPs; those that the balancer does not name the cloud chooses."""
    balancer = graph.load_balancer
    named = [balancer.vip_address, *(vip.ip_address for vip in balancer.additional_vips)]
    vips = tuple(dict.fromkeys(address for address in named if address)) or draw.choice(list(VIPS.values()))
    return Placement(vips=vips, proxy_address=draw.choice((None, "127.0.0.2")))


def made(name: str, body: Body, graph: Graph, draw: Draw, tally: dict[str, int]) -> Accepted:
    """Render it; ``Unmeant`` where that says something that the model does not mean."""
    placement = placed(graph, draw)
    binds = [Bind(address, 0) for address in placement.vips]
    binds += [Bind(placement.proxy_address, 0, proxy=True)] if placement.proxy_address else []
    configuration = render(graph, placement).configuration
    met = oracle.check(configuration, graph, tuple(binds))
    alive = ruleset(configuration)
    dead = ruleset(
        configuration, {(b.name, next(iter(b.servers))) for b in configuration.backends.values() if b.servers}
    )
    for rules in (alive, dead):
        met += oracle.check_rules(rules, graph, tuple(binds))
    for directive, times in met.items():
        tally[directive] = tally.get(directive, 0) + times
    packets = alive.text + "".join(transactions(dead, alive, Present.of(alive))) if alive.text else ""
    return Accepted(name, body, configuration, packets)


class Proof:
    """What haproxy and nft say, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._paths = Paths.for_load_balancer(str(directory), str(directory), "fuzz")
        self._paths.create()
        self._files = Files(self._paths)

    def refused(self, accepted: Sequence[Accepted]) -> list[tuple[Accepted, str]]:
        """Those that haproxy or nft refuses, with its words."""
        packets = [one for one in accepted if one.packets]
        return [*_halves(list(accepted), self.haproxy_refuses), *_halves(packets, self.nft_refuses)]

    def haproxy_refuses(self, accepted: Sequence[Accepted]) -> str:
        """haproxy's words against all of them in one file, empty when it takes it."""
        all_ = Configuration("fuzz", "")
        for one in accepted:
            all_.frontends.update(one.configuration.frontends)
            all_.files.update(one.configuration.files)
        self._files.link_files(self._files.store(all_), self._paths.files)
        head = global_section.render(self._paths, mark="fuzz")
        text = head + "".join(compose(one.configuration) for one in accepted)
        self._paths.candidate.write_text(text, encoding="utf-8")
        return _said(["haproxy", "-c", "-f", str(self._paths.candidate)])

    def nft_refuses(self, accepted: Sequence[Accepted]) -> str:
        """nft's words, likewise: each balancer has a table of its own."""
        self._paths.candidate.write_text("".join(one.packets for one in accepted), encoding="utf-8")
        return _said([*IN_A_NAMESPACE, "nft", "-c", "-f", str(self._paths.candidate)])


def _said(command: Sequence[str]) -> str:
    verdict = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    return "" if verdict.returncode == 0 else verdict.stderr or f"status {verdict.returncode}"


def _halves(
    accepted: list[Accepted], refuses: Callable[[Sequence[Accepted]], str]
) -> list[tuple[Accepted, str]]:  # fmt: skip
    words = refuses(accepted) if accepted else ""
    if not words:
        return []
    if len(accepted) == 1:
        return [(accepted[0], words)]
    half = len(accepted) // 2
    return _halves(accepted[:half], refuses) + _halves(accepted[half:], refuses)
