# SPDX-License-Identifier: Apache-2.0
"""``octaviactl config``: what haproxy is told."""

from __future__ import annotations

import re

import click

from octavia_provider.model.errors import NotFound, Unreachable

from . import options


@click.command()
@click.argument("load_balancer")
@options.control_plane
def config(load_balancer: str, home: str | None, endpoint: str | None) -> None:
    """Print the haproxy configuration of LOAD_BALANCER (its id or name)."""
    from octavia_provider.client.waiting import Deadline

    client = options.running_client(home, endpoint)
    if client is None:
        raise Unreachable("does not run.", subject="the control plane", hint="octaviactl start")
    deadline = Deadline(30.0)
    balancers = list(client.list("load_balancer", deadline=deadline))
    found = [b["id"] for b in balancers if load_balancer in (b["id"], b["name"])]
    if not found:  # a name that was made from the resource's, with seven digits behind it
        made = re.compile(re.escape(load_balancer) + "-[0-9a-f]{7}")
        found = [b["id"] for b in balancers if made.fullmatch(b["name"])]
    if not found:
        raise NotFound("does not exist.", subject=f"load balancer {load_balancer}", hint="octaviactl status")
    for id_ in found:
        path = f"/v2/octavia/loadbalancers/{id_}/configuration"
        click.echo(client.request("GET", path, deadline=deadline).json()["haproxy"], nl=False)
