# SPDX-License-Identifier: Apache-2.0
"""``octaviactl ids``: the import ids of existing objects; with --json a file for ``pulumi import``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import Unreachable
from octavia_provider.model.kinds import KINDS, OPERATOR_KINDS, SHARED_KINDS, token

from . import options, overview_source

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

_KIND_NAMES = {kind.removeprefix("local_").replace("_", "-"): kind for kind in KINDS}
Item = tuple[str, str, str]
"""Kind, name, id for import."""


@click.command()
@click.argument("kinds", nargs=-1, metavar="[KIND]...", type=click.Choice(list(_KIND_NAMES), case_sensitive=False))
@options.control_plane
@options.as_json
def ids(kinds: tuple[str, ...], home: str | None, endpoint: str | None, as_json: bool) -> None:
    """Show all that can be imported, or that of some kinds: its type, its name, and the id to import it by.

    With --json a file for Pulumi: octaviactl ids --json > import.json; pulumi import --file import.json

    Kinds: load-balancer, listener, pool, member, health-monitor, l7-policy, l7-rule, tls-container, amphora-group, flavor-profile,
    flavor, availability-zone-profile, availability-zone, quota, network, host.
    """
    client = options.running_client(home, endpoint)
    if client is None:
        raise Unreachable("does not run.", subject="the control plane", hint=options.start_hint(home))
    selected = {_KIND_NAMES[word] for word in kinds} or set(KINDS)
    found = [item for item in _list_all(client, selected) if item[0] in selected]
    if as_json:
        names = _unique_names([(kind, name) for kind, name, _ in found])
        resources = [
            {"type": token(kind), "name": name, "id": id_} for (kind, _, id_), name in zip(found, names, strict=True)
        ]
        console.echo_json({"resources": resources})
        return
    widths = [
        max((len(part) for part in column), default=0)
        for column in zip(*((token(k), n) for k, n, _ in found), strict=True)
    ]
    for kind, name, id_ in found:
        console.echo(f"{token(kind):<{widths[0]}}  {name:<{widths[1]}}  {id_}")
    if not found:
        console.echo("nothing there")


def _list_all(client: Client, kinds: set[str]) -> Iterator[Item]:
    """All objects, parents first."""
    from octavia_provider.client.deadline import Deadline

    for kind in OPERATOR_KINDS:
        if kind in kinds:
            for obj in client.list(kind, deadline=Deadline(30.0)):
                yield kind, _name(obj), str(obj[KINDS[kind].KEY])
    overview = overview_source.overview(client)
    for kind in ("local_network", "local_host", *SHARED_KINDS):
        for obj in overview[f"{kind.removeprefix('local_')}s"]:
            if not obj.get("source"):  # what is a copy comes and goes with what refers to it
                yield kind, _name(obj), obj["id"]
    for balancer in overview["load_balancers"]:
        yield from _balancer_items(balancer)


def _balancer_items(balancer: dict[str, Any]) -> Iterator[Item]:
    yield "load_balancer", _name(balancer), balancer["id"]
    for listener in balancer["listeners"]:
        yield "listener", _name(listener), listener["id"]
    for pool in balancer["pools"]:
        yield "pool", _name(pool), pool["id"]
        if pool["healthmonitor"]:
            yield "health_monitor", _name(pool["healthmonitor"]), pool["healthmonitor"]["id"]
        for member in pool["members"]:
            yield "member", _name(member), f"{pool['id']}/{member['id']}"
    for listener in balancer["listeners"]:
        for policy in listener["l7policies"]:
            yield "l7_policy", _name(policy), policy["id"]
            for number, rule in enumerate(policy["rules"], start=1):
                yield "l7_rule", _name(rule) or f"{_name(policy)}-{number}", f"{policy['id']}/{rule['id']}"


def _name(obj: dict[str, Any]) -> str:
    return str(obj.get("name") or obj.get("project_id") or "")


def _unique_names(found: list[tuple[str, str]]) -> Iterator[str]:
    """Resource names for a program: without Pulumi's random suffix, unique within a kind."""
    counts: Counter[tuple[str, str]] = Counter()
    for kind, name in found:
        base = re.sub(r"-[0-9a-f]{7}$", "", name) or kind.replace("_", "-")
        counts[kind, base] += 1
        count = counts[kind, base]
        yield base if count == 1 else f"{base}-{count}"
