# SPDX-License-Identifier: Apache-2.0
"""``octaviactl config``: what haproxy is told."""

from __future__ import annotations

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import Unreachable

from . import options, overview_source


@click.command()
@click.argument("load_balancer", metavar="NAME|ID")
@options.control_plane
@options.as_json
def config(load_balancer: str, home: str | None, endpoint: str | None, as_json: bool) -> None:
    """Print the haproxy configuration of a load balancer."""
    from octavia_provider.client.deadline import Deadline

    client = options.running_client(home, endpoint)
    if client is None:
        raise Unreachable("does not run.", subject="the control plane", hint="octaviactl start")
    found = []
    for balancer in overview_source.balancers(client, load_balancer):
        path = f"/v2/octavia/loadbalancers/{balancer['id']}/configuration"
        text = client.request("GET", path, deadline=Deadline(30.0)).json()["haproxy"]
        found.append({"id": balancer["id"], "name": balancer["name"], "haproxy": text})
    if as_json:
        console.say_json({"load_balancers": found})
        return
    for one in found:
        console.say_text(one["haproxy"], nl=False)
