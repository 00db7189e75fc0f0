# SPDX-License-Identifier: Apache-2.0
"""``octaviactl config``: the haproxy configuration, and what changed templates would change in it."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.model import statuses
from octavia_provider.model.errors import NotFound, Unreachable

from . import exit_codes, options, overview_source

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

SECONDS = 30.0
OLD_ERROR_SECONDS = 5.0
POLL_SECONDS = 0.2


@click.command()
@click.argument("load_balancers", metavar="[NAME|ID]...", nargs=-1)
@options.control_plane
@options.as_json
@click.option("--diff", is_flag=True, help="Show what would change if it were rendered now.")
@click.option(
    "--shipped", is_flag=True, help="With --diff: against what the templates without --templates-dir make of it."
)
@click.option("--apply", "apply_", is_flag=True, help="Render it anew, put in force what differs, and wait for it.")
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
        raise Unreachable("does not run.", subject="the control plane", hint=options.start_hint(home))
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
    for name, error in (pair for balancer in balancers for pair in _in_error(balancer)):
        text = f"{name} is in ERROR: what was accepted of it last is rendered, not what is desired ({error})"
        console.echo(text, err=True)
    for balancer in found:
        for line in balancer["diff"]:
            console.echo(console.styled(line, fg=_COLOURS.get(line[0])))
    if not any(balancer["diff"] for balancer in found):
        console.echo("no difference", err=True)


def _in_error(shown: Any) -> Iterator[tuple[str, str]]:
    """The objects in ERROR of a load balancer of the overview, each with the reason."""
    if isinstance(shown, list):
        for part in shown:
            yield from _in_error(part)
    elif isinstance(shown, dict):
        if shown.get("provisioning_status") == statuses.ERROR:
            yield f"{shown.get('name') or 'object'} ({shown['id']})", str(shown.get("provisioning_error"))
        yield from _in_error(list(shown.values()))


_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def _apply(client: Client, balancers: list[dict[str, Any]], *, as_json: bool) -> None:
    differing = [balancer for balancer in balancers if not _is_in_force(client, balancer)]
    for balancer in balancers:
        _request(client, "POST", balancer)
    refused = {balancer["id"]: why for balancer in differing if (why := _wait_in_force(client, balancer)) is not None}
    found = [
        {"id": b["id"], "name": b["name"], "changed": b in differing, "error": refused.get(b["id"])} for b in balancers
    ]
    if as_json:
        console.echo_json({"load_balancers": found})
    for one in found:
        name = one["name"] or one["id"]
        if one["error"]:
            console.print_error(f"{name}: not in force: {one['error']}")
        elif not as_json:
            console.echo(f"{name}: {'in force' if one['changed'] else 'nothing differs'}")
    if refused:
        sys.exit(exit_codes.FAILED)


def _is_in_force(client: Client, balancer: dict[str, Any]) -> bool:
    try:
        texts = _request(client, "GET", balancer, "?rendered=true").json()
    except NotFound:  # none is in force yet
        return False
    return bool(texts["haproxy"] == texts["next"])


def _wait_in_force(client: Client, balancer: dict[str, Any]) -> str | None:
    """Wait until what is rendered is in force; the reason where it is refused, or is not in time."""
    began = time.monotonic()
    while not _is_in_force(client, balancer):
        (now,) = overview_source.balancers(client, balancer["id"])
        error, waited = now["provisioning_error"], time.monotonic() - began
        # An error of before may be out of date until the next attempt.
        if error and (error != balancer["provisioning_error"] or waited > OLD_ERROR_SECONDS):
            return str(error)
        if waited > SECONDS:
            return f"it is not after {SECONDS:.0f} s. Try: octaviactl status; octaviactl logs"
        time.sleep(POLL_SECONDS)
    return None
