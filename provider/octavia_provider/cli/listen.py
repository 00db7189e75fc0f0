# SPDX-License-Identifier: Apache-2.0
"""``octaviactl listen``: the API on a TCP port of this machine, for OpenStack's clients."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import click

from octavia_provider.kit import console

from . import options


@click.command()
@click.argument("address", default="127.0.0.1:9876")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME[:PORT]",
    help="A name by which clients may call it, besides localhost and its address. May be repeated.",
)
@options.home
def listen(address: str, names: tuple[str, ...], home: str | None) -> None:
    """Serve the API at ADDRESS (default 127.0.0.1:9876) until interrupted, for clients that know no Unix sockets.

    Loopback addresses alone, and requests of your own user and root alone: there is no authentication, and who can ask
    the API may do everything. Requests of web pages, and for other names than its own, are refused. The control plane is
    started where it does not run.

    OpenStack's command line: OS_AUTH_TYPE=none OS_ENDPOINT=http://127.0.0.1:9876 openstack loadbalancer list
    """
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline
    from octavia_provider.kit import paths

    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{address!r} is not an address and a port, as 127.0.0.1:9876 is")
    directory = paths.home(home)

    def find_socket() -> Path:
        return embedded.ensure_running(directory, Deadline(embedded.START_TIMEOUT))

    asyncio.run(_serve(host.strip("[]"), int(port), names, find_socket))


async def _serve(host: str, port: int, names: tuple[str, ...], find_socket: Callable[[], Path]) -> None:
    from octavia_provider.api import serve_tcp
    from octavia_provider.api.loopback_proxy import check_name, create_door, loopback

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await serve_tcp(create_door(find_socket, map(check_name, names)), loopback(host), port)
    try:
        bound_host, bound_port = server.address
        console.echo(
            f"the API is at http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port} (no authentication; ^C ends it)"
        )
        await stop.wait()
    finally:
        await server.close()
