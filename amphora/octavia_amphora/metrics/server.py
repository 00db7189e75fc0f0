# SPDX-License-Identifier: Apache-2.0
"""Answers the haproxies of this amphora at a socket of the file system: ``GET /{load balancer}``."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import aiohttp
from aiohttp import web

from octavia_amphora.apply.engine import Engine
from octavia_amphora.apply.ways import Ways
from octavia_amphora.haproxy.account import grant
from octavia_amphora.haproxy.paths import METRICS_SOCKET

from . import words

log = logging.getLogger("octavia_amphora.metrics")

# A scrape that takes longer is of no use: Prometheus gives up after ten seconds.
SCRAPE_SECONDS = 8.0


async def serve(engine: Engine, ways: Ways) -> web.AppRunner:
    """Answer at ``metrics.sock`` until the runner is cleaned up."""
    runner = web.AppRunner(Metrics(engine, ways).application(), access_log=None)
    await runner.setup()
    path = Path(ways.run_directory) / METRICS_SOCKET
    path.parent.mkdir(parents=True, exist_ok=True)
    await web.UnixSite(runner, str(path)).start()
    grant(path, ways.account)
    return runner


class Metrics:
    """The handler. A scrape costs one request to haproxy's exporter, and nothing is kept between two."""

    def __init__(self, engine: Engine, ways: Ways) -> None:
        self._engine = engine
        self._ways = ways

    def application(self) -> web.Application:
        """Its one route."""
        app = web.Application()
        app.router.add_get("/{id}", self._metrics)
        return app

    async def _metrics(self, request: web.Request) -> web.Response:
        balancer = self._engine.serving(request.match_info["id"])
        configuration = balancer.configuration if balancer else None
        if balancer is None or configuration is None:
            raise web.HTTPNotFound(text="this amphora serves no such load balancer\n")
        try:
            said = await _ask(self._ways.paths(balancer.id).exporter_socket)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("haproxy's exporter does not answer load_balancer=%s: %s", balancer.id, error)
            raise web.HTTPBadGateway(text=f"haproxy does not tell its metrics: {error}\n") from error
        udp = any(frontend.datagrams for frontend in configuration.frontends.values())
        states = await balancer.look() if udp else None
        text = words.gauges(_host()) + words.translate(said, configuration, states)
        return web.Response(
            body=text.encode(), headers={"Content-Type": words.CONTENT_TYPE, "Cache-Control": "no-cache"}
        )


async def _ask(socket: Path) -> str:
    timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
    connector = aiohttp.UnixConnector(str(socket))
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get("http://haproxy/metrics", raise_for_status=True) as answer,
    ):
        return await answer.text()


def _host() -> dict[str, tuple[str, float]]:
    """How much of the amphora is in use, in per cent."""
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(facts[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return {
        "octavia_loadbalancer_cpu": (
            "Load of the last minute in per cent of the processors.", 100 * os.getloadavg()[0] / (os.cpu_count() or 1),
        ),
        "octavia_loadbalancer_memory": ("Memory in use in per cent.", 100 * (1 - free / total)),
    }  # fmt: skip
