# SPDX-License-Identifier: Apache-2.0
"""Answers the haproxies of this amphora at a socket of the file system: ``GET /{load balancer}``."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from octavia_amphora.apply.load_balancers import LoadBalancers
from octavia_amphora.apply.settings import AgentSettings
from octavia_amphora.haproxy.paths import METRICS_SOCKET
from octavia_amphora.haproxy.user import grant_socket
from octavia_amphora.server import http
from octavia_amphora.server.http import Request, Response

from . import names

log = logging.getLogger("octavia_amphora.metrics")

# A scrape that takes longer is of no use: Prometheus gives up after ten seconds.
SCRAPE_SECONDS = 8.0
# 10,000 servers are some 60 MB.
SCRAPE_BYTES = 256 * 1024 * 1024


async def serve(load_balancers: LoadBalancers, settings: AgentSettings) -> http.Server:
    """Answer at ``metrics.sock`` until the server is closed."""
    server = http.Server(Metrics(load_balancers, settings).answer)
    path = Path(settings.run_directory) / METRICS_SOCKET
    path.parent.mkdir(parents=True, exist_ok=True)
    await server.listen_unix(path)
    grant_socket(path, settings.haproxy_user)
    return server


class Metrics:
    """The handler. A scrape costs one request to haproxy's exporter, and nothing is kept between two."""

    def __init__(self, load_balancers: LoadBalancers, settings: AgentSettings) -> None:
        self._load_balancers = load_balancers
        self._settings = settings

    async def answer(self, request: Request) -> Response:
        """``GET /{load balancer}``: all its metrics in Prometheus' text format."""
        balancer = self._load_balancers.get_serving(request.path.removeprefix("/"))
        configuration = balancer.configuration if balancer else None
        if request.method != "GET" or balancer is None or configuration is None:
            return Response(404, b"this amphora serves no such load balancer\n")
        try:
            async with asyncio.timeout(SCRAPE_SECONDS):
                path = self._settings.paths(balancer.id).exporter_socket
                exposition = (await http.get(path, "/metrics", limit=SCRAPE_BYTES)).decode()
        except (TimeoutError, OSError, ValueError) as error:
            log.warning("haproxy's exporter does not answer load_balancer=%s: %s", balancer.id, error)
            return Response(502, f"haproxy does not tell its metrics: {error}\n".encode())
        udp = any(frontend.datagrams for frontend in configuration.frontends.values())
        states = await balancer.collect_states() if udp else None
        text = names.gauges(_host_gauges()) + names.translate(exposition, configuration, states)
        return Response(200, text.encode(), names.CONTENT_TYPE, {"Cache-Control": "no-cache"})


def _host_gauges() -> dict[str, tuple[str, float]]:
    """How much of the amphora is in use, in per cent."""
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(facts[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return {
        "octavia_loadbalancer_cpu": (
            "Load of the last minute in per cent of the processors.", 100 * os.getloadavg()[0] / (os.cpu_count() or 1),
        ),
        "octavia_loadbalancer_memory": ("Memory in use in per cent.", 100 * (1 - free / total)),
    }  # fmt: skip
