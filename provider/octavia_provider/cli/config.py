# SPDX-License-Identifier: Apache-2.0
"""``octaviactl config``: the haproxy configuration, and what changed templates would change in it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import Unreachable

from . import options, overview_source

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

SECONDS = 30.0


@click.command()
@click.argument("load_balancers", metavar="[NAME|ID]...", nargs=-1)
@options.control_plane
@options.as_json
@click.option("--diff", is_flag=True, help="Show what would change if it were rendered now.")
@click.option(
    "--shipped", is_flag=True, help="With --diff: against what the templates without --templates-dir make of it."
)
@click.option("--apply", "apply_", is_flag=True, help="Render it anew and put in force what differs.")
def config(
    *, load_balancers: tuple[str, ...], home: str | None, endpoint: str | None, as_json: bool, diff: bool, shipped: bool,
    apply_: bool,
) -> None:  # fmt: skip
    """Print the haproxy configuration of the load balancers, or of those that are named.

    A changed template (serve --templates-dir) is in force when a load balancer is rendered the next time: when one of its
    objects changes, when the control plane starts, or with --apply.
    """
    if shipped and not diff:
        raise click.UsageError("--shipped goes with --diff")
    client = options.running_client(home, endpoint)
    if client is None:
        raise Unreachable("does not run.", subject="the control plane", hint="octaviactl start")
    found = _balancers(client, load_balancers)
    if apply_:
        _apply(client, found, as_json=as_json)
    elif diff:
        _show_diff(client, found, "shipped" if shipped else "haproxy", as_json=as_json)
    else:
        _show(client, found, as_json=as_json)


def _balancers(client: Client, names: tuple[str, ...]) -> list[dict[str, Any]]:
    if not names:
        load_balancers: list[dict[str, Any]] = overview_source.overview(client)["load_balancers"]
        return load_balancers
    return [balancer for name in names for balancer in overview_source.balancers(client, name)]


def _request(client: Client, method: str, balancer: dict[str, Any], query: str = "") -> Any:
    from octavia_provider.client.deadline import Deadline

    path = f"/v2/octavia/loadbalancers/{balancer['id']}/configuration{query}"
    return client.request(method, path, deadline=Deadline(SECONDS))


def _show(client: Client, balancers: list[dict[str, Any]], *, as_json: bool) -> None:
    found = [
        {"id": balancer["id"], "name": balancer["name"], "haproxy": _request(client, "GET", balancer).json()["haproxy"]}
        for balancer in balancers
    ]
    if as_json:
        console.echo_json({"load_balancers": found})
        return
    for balancer in found:
        console.echo_text(balancer["haproxy"], nl=False)


def _show_diff(client: Client, balancers: list[dict[str, Any]], base: str, *, as_json: bool) -> None:
    found = []
    for balancer in balancers:
        texts = _request(client, "GET", balancer, "?rendered=true").json()
        before = f"{balancer['name'] or balancer['id']}: {'shipped' if base == 'shipped' else 'in force'}"
        old, new = texts[base].splitlines(), texts["next"].splitlines()
        lines = list(difflib.unified_diff(old, new, before, "rendered now", lineterm=""))
        found.append({"id": balancer["id"], "name": balancer["name"], **texts, "diff": lines})
    if as_json:
        console.echo_json({"load_balancers": found})
        return
    for balancer in found:
        for line in balancer["diff"]:
            console.echo(console.styled(line, fg=_COLOURS.get(line[0])))
    if not any(balancer["diff"] for balancer in found):
        console.echo("no difference", err=True)


_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def _apply(client: Client, balancers: list[dict[str, Any]], *, as_json: bool) -> None:
    for balancer in balancers:
        _request(client, "POST", balancer)
        if not as_json:
            console.echo(f"{balancer['name'] or balancer['id']}: rendered anew. How it goes: octaviactl status")
    if as_json:
        console.echo_json(
            {"load_balancers": [{"id": balancer["id"], "name": balancer["name"]} for balancer in balancers]}
        )
