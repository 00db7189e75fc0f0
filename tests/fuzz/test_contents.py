# SPDX-License-Identifier: Apache-2.0
"""Fuzzing of what TLS containers hold: refused with a path, or loaded by haproxy wherever it may be named."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fuzz import budget
from fuzz.generators import contents
from fuzz.generators.chance import Draw
from fuzz.verify import Accepted, Proof
from octavia_provider.model import graph as graphs
from octavia_provider.model.graph import Graph
from octavia_provider.model.tls_container import TlsContainer
from octavia_provider.model.validation import validate
from octavia_provider.render.haproxy import Placement, render

CONTAINERS = max(budget.BALANCERS // 5, 300)  # fewer would not hold enough of those that are refused
TOGETHER = 25
PEM = re.compile(r"(-----BEGIN [A-Z0-9 ]+-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END [A-Z0-9 ]+-----\n)+")
AUTHORITIES = str(uuid.UUID(int=1))


def identity(draw: Draw) -> str:
    return str(uuid.UUID(int=draw.getrandbits(128), version=4))


def named_everywhere(draw: Draw, container: TlsContainer) -> Iterator[tuple[str, dict[str, Any]]]:
    """Listeners and pools that name it: kind, inputs."""
    server = {"tls_enabled": True, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": "lb"}
    own = contents.authorities()[1]
    ends = {"protocol": "TERMINATED_HTTPS", "protocol_port": draw.randint(1, 65535), "loadbalancer_id": "lb"}
    match container.sort:
        case "certificate":
            yield "pool", {**server, "tls_container_ref": container.id}
            yield "listener", {**ends, "default_tls_container_ref": container.id, "sni_container_refs": (container.id,)}
        case "ca_certificates":
            yield "pool", {**server, "ca_tls_container_ref": container.id}
            yield "listener", {
                **ends, "default_tls_container_ref": own.serial, "client_ca_tls_container_ref": container.id,
                "client_authentication": draw.choice(("OPTIONAL", "MANDATORY")),
            }  # fmt: skip
        case _:
            yield "pool", {**server, "ca_tls_container_ref": AUTHORITIES, "crl_container_ref": container.id}
            yield "listener", {
                **ends, "default_tls_container_ref": own.serial, "client_ca_tls_container_ref": AUTHORITIES,
                "client_crl_container_ref": container.id, "client_authentication": "MANDATORY",
            }  # fmt: skip


def balancer(draw: Draw, held: dict[str, Any]) -> Graph | None:
    """A load balancer that names the container wherever it may; None where that is refused."""
    result = validate(TlsContainer, held)
    if result.violations:
        assert all(v.path and v.message for v in result.violations), result.violations
        secret = held.get("private_key", "")[40:80].strip()
        assert not any(len(secret) > 20 and secret in v.message for v in result.violations)
        return None
    container = graphs.build("tls_container", result.values, id=identity(draw))
    assert isinstance(container, TlsContainer)
    graph = Graph(graphs.build("load_balancer", {"vip_address": "10.0.0.9"}, id="lb"))  # type: ignore[arg-type]
    root, middle, _ = contents.authorities()
    graph.add(container)
    graph.add(graphs.build("tls_container", {"ca_certificates": root.pem}, id=AUTHORITIES))
    graph.add(graphs.build("tls_container", middle.container(), id=middle.serial))
    pool = ""
    for kind, inputs in named_everywhere(draw, container):
        one = graphs.build(kind, {**inputs, "default_pool_id": pool or None}, id=identity(draw))
        if found := graphs.check(graph, one):
            assert all(v.path and v.message for v in found), found
            return None
        graph.add(one)
        if kind == "pool":
            pool = one.id
            graph.add(
                graphs.build("member", {"pool_id": pool, "address": "10.0.0.1", "protocol_port": 1}, id=identity(draw))
            )
    return graph


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("sort", contents.SORTS)
def test_what_the_model_accepts_haproxy_loads(sort: str, tmp_path: Path) -> None:
    proof, waiting, tally = Proof(tmp_path), list[Accepted](), Counter[str]()
    last = CONTAINERS // len(contents.SORTS) - 1
    for number in range(last + 1):
        draw = Draw(f"{budget.SEED} {sort} {number}")
        held = contents.SORTS[sort](draw)
        graph = balancer(draw, held)
        tally["accepted" if graph else "refused"] += 1
        if graph:
            whole = render(graph, Placement(vips=("10.0.0.9",))).configuration
            for name, file in whole.files.items():
                assert PEM.fullmatch(file.content), f"{sort} {number}: {name} holds more than PEM"
            waiting.append(Accepted(str(number), held, whole, ""))
        if len(waiting) >= TOGETHER or number == last:
            refused = [(one.name, words, one.body) for one, words in proof.refused(waiting)]
            assert not refused, f"FUZZ_SEED={budget.SEED} {sort} {refused[0][0]}: {refused[0][1]}\n{refused[0][2]!r}"
            waiting.clear()
    assert min(tally["accepted"], tally["refused"]) >= last / 20, tally
