# SPDX-License-Identifier: Apache-2.0
"""``python -m octavia_amphora.main [--config FILE]``: the agent.

It answers on its port before it looks for what an earlier agent left: a push waits for that of its load balancer alone.
SIGTERM and SIGINT end the agent; every haproxy goes on serving.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import msgspec

from . import shortage
from .log_limit import FloodFilter
from .supervision import supervised
from .wire.messages import AgentConfig

DEFAULT_CONFIG = "/etc/octavia-amphora/agent.json"

log = logging.getLogger("octavia_amphora")


def main() -> None:
    """Entry point of ``octavia-amphora-agent``; exit code 2 for settings that cannot be used."""
    parser = argparse.ArgumentParser(prog="octavia-amphora-agent", description="Applies configurations to haproxy.")
    parser.add_argument("--config", default=DEFAULT_CONFIG, help="settings (JSON), default %(default)s")
    path = Path(parser.parse_args().config)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger().handlers[0].addFilter(FloodFilter())
    try:
        source = path.read_bytes()
        settings = msgspec.json.decode(source, type=AgentConfig)
    except (OSError, msgspec.MsgspecError) as error:
        sys.exit(_log_error(f"cannot read the settings {path}: {error}. It is written where the amphora is booted"))
    shortage.raise_open_files_limit()
    try:
        asyncio.run(run(settings, source, path.with_name("interfaces.json")))
    except OSError as error:
        sys.exit(_log_error(f"cannot serve on {settings.listen_address} port {settings.listen_port}: {error}"))


def _log_error(message: str) -> int:
    log.error(message)
    return 2


async def run(settings: AgentConfig, source: bytes, described: Path) -> None:
    """Serve until a signal says to end. ``source``: the file that the settings were read from; ``described``: where a cloud that does
    not configure interfaces itself describes that of the management network."""
    from .apply.load_balancers import LoadBalancers
    from .apply.settings import AgentSettings
    from .haproxy.user import HaproxyUser
    from .heartbeat.sender import HeartbeatSender
    from .interfaces.applier import Interfaces
    from .metrics.server import serve as serve_metrics
    from .options import Options
    from .server.app import MAX_BODY, Api
    from .server.http import Server
    from .server.tls import ServerTls

    stop, wake = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runtime = AgentSettings(
        amphora_id=settings.amphora_id,
        state_directory=settings.state_directory,
        run_directory=settings.run_directory,
        haproxy=settings.haproxy,
        haproxy_user=HaproxyUser.from_name(settings.haproxy_user),
        idle_timeout=settings.finish,
    )
    interfaces = Interfaces(settings.state_directory, settings.listen_address, described)
    load_balancers = LoadBalancers(runtime, interfaces, wake.set)
    options = Options(settings, source)
    sender = HeartbeatSender(options, load_balancers, wake, interfaces.source)
    tls = ServerTls(settings)
    api = Server(Api(options, load_balancers, tls, sender).answer, max_body=MAX_BODY)
    recovery = asyncio.ensure_future(supervised("recovery", load_balancers.recover))
    await api.listen(settings.listen_address, settings.listen_port, tls.context)
    metrics = await serve_metrics(load_balancers, runtime)
    log.info("serving on %s port %d as %s", settings.listen_address, settings.listen_port, settings.amphora_id)
    tasks = [recovery, asyncio.ensure_future(supervised("heartbeats", sender.run))]
    try:
        await stop.wait()
    finally:
        for one in (api, metrics):
            await one.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await load_balancers.close()


if __name__ == "__main__":
    main()
