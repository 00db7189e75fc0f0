# SPDX-License-Identifier: Apache-2.0
"""``octaviactl status``: the load balancers, their parts, and how they are."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from . import options

Tree = Mapping[str, Any]
COLOURS = {
    "ACTIVE": "green", "ONLINE": "green", "ERROR": "red", "DEGRADED": "yellow", "OFFLINE": "dim", "NO_MONITOR": "dim",
    "DRAINING": "yellow",
}  # fmt: skip


@click.command()
@options.control_plane
@options.as_json
def status(home: str | None, endpoint: str | None, as_json: bool) -> None:
    """Show the load balancers, their listeners, pools and members, and how they are."""
    from octavia_provider.client.waiting import Deadline

    client = options.running_client(home, endpoint)
    if client is None:
        _not_running(as_json)
        return
    deadline = Deadline(30.0)
    facts = client.control_plane(deadline=deadline)
    trees = [_tree(client, balancer, deadline) for balancer in client.list("load_balancer", deadline=deadline)]
    hosts = list(client.list("local_host", deadline=deadline))
    if as_json:
        options.print_json({"control_plane": facts, "load_balancers": trees, "hosts": hosts})
        return
    _show(facts, trees, hosts)


def _not_running(as_json: bool) -> None:
    if as_json:
        options.print_json({"control_plane": None, "load_balancers": [], "hosts": []})
    else:
        click.echo("No control plane runs here. One starts when `up` changes something, or by: octaviactl start")


def _tree(client: Any, balancer: dict[str, Any], deadline: Any) -> dict[str, Any]:
    path = f"/v2/lbaas/loadbalancers/{balancer['id']}"
    tree = client.request("GET", f"{path}/status", deadline=deadline).json()["statuses"]["loadbalancer"]
    stats = client.request("GET", f"{path}/stats", deadline=deadline).json()["stats"]
    errors = {
        item["id"]: item["provisioning_error"]
        for kind in ("listener", "pool", "health_monitor", "l7_policy")
        for item in client.list(kind, deadline=deadline, filters={"provisioning_status": "ERROR"})
        if item.get("provisioning_error")
    }
    published = {"vip_address": balancer["vip_address"], "published_address": balancer.get("published_address")}
    return {
        **tree,
        **published,
        "provisioning_error": balancer.get("provisioning_error"),
        "stats": stats,
        "errors": errors,
    }


def _show(facts: Tree, trees: Iterable[Tree], hosts: Iterable[Tree]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.tree import Tree as RichTree

    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"control plane {facts['version']}, pid {facts['pid']}, {facts['home']}", style="dim")
    for tree in trees:
        where = f"{tree['vip_address']}" + (f" → {tree['published_address']}" if tree["published_address"] else "")
        stats = tree["stats"]
        head = RichTree(
            f"[bold]{_name(tree)}[/bold]  {where}  {_statuses(tree)}  "
            f"[dim]{stats['total_connections']} connections, {stats['bytes_in']} B in, {stats['bytes_out']} B out[/dim]"
        )
        for listener in tree.get("listeners", ()):
            branch = head.add(f"listener {_name(listener)}  {_statuses(listener)}{_error(tree, listener)}")
            for pool in listener.get("pools", ()):
                _pool(branch, tree, pool)
        for pool in tree.get("pools", ()):
            if not any(pool["id"] == p["id"] for li in tree.get("listeners", ()) for p in li.get("pools", ())):
                _pool(head, tree, pool)
        console.print(head)
    table = Table("host", "address", "runs", box=None, pad_edge=False)
    rows = [(h["name"], h["address"], "yes" if h["running"] else "[red]no[/red]") for h in hosts]
    for row in rows:
        table.add_row(*row)
    if rows:
        console.print(table)


def _pool(branch: Any, tree: Tree, pool: Tree) -> None:
    inner = branch.add(f"pool {_name(pool)}  {_statuses(pool)}{_error(tree, pool)}")
    for member in pool.get("members", ()):
        inner.add(f"{_name(member)}  {member['address']}:{member['protocol_port']}  {_statuses(member)}")


def _name(thing: Tree) -> str:
    return str(thing.get("name") or thing["id"])


def _statuses(thing: Tree) -> str:
    words = (thing.get("provisioning_status"), thing.get("operating_status"))
    return " ".join(f"[{COLOURS.get(word, 'yellow')}]{word}[/]" for word in words if word)


def _error(tree: Tree, thing: Tree) -> str:
    reason = tree["errors"].get(thing["id"])
    return f"  [red]{reason}[/red]" if reason else ""
