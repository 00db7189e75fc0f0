# SPDX-License-Identifier: Apache-2.0
"""``octaviactl failover|drain|rotate|upgrade``: what operators do to amphorae. Each waits, and tells what happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.kit.console import styled
from octavia_provider.model import statuses
from octavia_provider.model.errors import PermanentError

from . import exit_codes, options
from .events import SHORT, connected
from .tree import state_words
from .waiting import (
    GROUP,
    Amphora,
    Waiting,
    balancer_ids,
    deadline,
    find_amphora,
    find_balancer,
    is_pending,
    list_amphorae,
    owner_of,
    put,
)

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

RESTART_SECONDS = 60
"""After which an agent is taken for one that does not come back."""
EPILOG = options.exit_codes_help(exit_codes.OK, exit_codes.FAILED, exit_codes.NO_CONTROL_PLANE, exit_codes.NOT_FOUND)
timeout = click.option(
    "--timeout", default=600.0, show_default=True, type=click.FloatRange(0), help="Seconds to wait at most."
)


def command(function: Callable[..., Any]) -> click.Command:
    """A command of this kind: it waits, or prints JSON, and names a control plane."""
    wrapped = timeout(options.as_json(options.control_plane(function)))
    return click.command(epilog=EPILOG)(wrapped)


@command
@click.argument("load_balancer", required=False, metavar="[NAME|ID]")
@click.option("--amphora", metavar="ID", help="Replace this amphora alone; the first digits of its id are enough.")
def failover(
    *, load_balancer: str | None, amphora: str | None, timeout: float, as_json: bool, home: str | None,
    endpoint: str | None,
) -> None:  # fmt: skip
    """Replace the amphorae of a load balancer by new ones, one after the other, without an outage.

    The new one boots, has the whole configuration and takes the VIPs over; then the old one is drained and taken away.
    """
    if (load_balancer is None) == (amphora is None):
        raise click.UsageError("Name a load balancer, or an amphora by --amphora.")
    with connected(home, endpoint) as client:
        if amphora is not None:
            chosen = find_amphora(client, amphora)
            owner, old, path = owner_of(chosen), {chosen["id"]}, f"/v2/octavia/amphorae/{chosen['id']}"
        else:
            owner = ("load_balancer", find_balancer(client, str(load_balancer))["id"])
            old, path = {one["id"] for one in list_amphorae(client, owner)}, f"/v2/lbaas/loadbalancers/{owner[1]}"
        of = f"amphora {amphora}" if amphora is not None else f"load balancer {load_balancer}"
        waiting = Waiting(client, owner, timeout, quiet=as_json, of=of)
        waiting.put(f"{path}/failover")
        after = waiting.until(
            lambda: not old & {one["id"] for one in list_amphorae(client, owner)} and not is_pending(client, owner),
            "the failover is not over",
        )
        facts = {f"{owner[0]}_id": owner[1], "replaced": sorted(old)}
        _show(list_amphorae(client, owner), after, as_json=as_json, **facts)


@command
@click.argument("amphora", metavar="ID")
@click.option("--undo", is_flag=True, help="It may have the VIPs again.")
def drain(*, amphora: str, undo: bool, timeout: float, as_json: bool, home: str | None, endpoint: str | None) -> None:
    """Have an amphora of a pair give its VIPs up, and stay as the backup until --undo.

    For work on its host, say. Where the other amphora fails meanwhile, the drained one takes the VIPs all the same.
    """
    with connected(home, endpoint) as client:
        chosen = find_amphora(client, amphora)
        owner, path = owner_of(chosen), f"/v2/octavia/amphorae/{chosen['id']}/drain"
        waiting = Waiting(client, owner, timeout, quiet=as_json, of=f"amphora {amphora}")
        if undo:
            client.request("DELETE", path, deadline=deadline(), subject=f"amphora {chosen['id']}")
            after = 0.0
        else:
            waiting.put(path)
            after = waiting.until(
                lambda: all(one["vrrp_state"] == "BACKUP" for one in _serving(client, chosen["id"])),
                "it has the VIPs still",
            )
        facts = {f"{owner[0]}_id": owner[1], "drained": not undo}
        _show(list_amphorae(client, owner), after, as_json=as_json, **facts)


@command
@click.argument("amphorae", nargs=-1, metavar="[AMPHORA]...")
@click.option("--all", "every", is_flag=True, help="The certificates of all amphorae.")
@click.option(
    "--authority", is_flag=True, help="The certificate authority too: the certificates of all come from another one."
)
def rotate(
    *, amphorae: tuple[str, ...], every: bool, authority: bool, timeout: float, as_json: bool, home: str | None,
    endpoint: str | None,
) -> None:  # fmt: skip
    """Give agents other certificates, while they run: of the amphorae that are named, or of all.

    Nothing of it is needed for they are renewed in time by themselves, the authority too. Interrupted, a rotation goes on.
    """
    if (bool(amphorae) + every + authority) != 1:
        raise click.UsageError("Name amphorae, or give --all or --authority.")
    with connected(home, endpoint) as client:
        waiting = Waiting(client, None, timeout, quiet=as_json, of="the certificates")
        if authority:
            before = client.control_plane(deadline=deadline())["certificate_authority"]["issuer"]
            client.request("POST", "/v2/octavia/certificate-authority/rotation", deadline=deadline(), idempotent=False)
            after = waiting.until(lambda: _rotated(client, before), "the rotation is not over; it goes on by itself")
            facts = client.control_plane(deadline=deadline())["certificate_authority"]
            _show(list_amphorae(client), after, as_json=as_json, certificate_authority=facts)
            return
        chosen = list_amphorae(client) if every else [find_amphora(client, word) for word in amphorae]
        ids = {one["host_id"] or one["id"] for one in chosen}
        for id_ in ids:
            put(client, f"/v2/octavia/amphorae/{id_}/certificate")
        after = waiting.until(
            lambda: not any(one["cert_busy"] for one in list_amphorae(client) if one["id"] in ids),
            "not all agents have another certificate",
        )
        _show([one for one in list_amphorae(client) if one["id"] in ids], after, as_json=as_json)


@command
@click.argument("load_balancers", nargs=-1, metavar="[NAME|ID]...")
@click.option("--force", is_flag=True, help="Also agents that have the control plane's version.")
def upgrade(
    *,
    load_balancers: tuple[str, ...],
    force: bool,
    timeout: float,
    as_json: bool,
    home: str | None,
    endpoint: str | None,
) -> None:
    """Have agents run the code of the control plane's version: of the load balancers that are named, or of all.

    One agent after the other is started anew, of a pair the backup's first; haproxy and its connections go on. An amphora
    whose agent does not come back is replaced. It stops at the first load balancer that does not get well.
    """
    with connected(home, endpoint) as client:
        target = str(client.control_plane(deadline=deadline())["version"])
        chosen = [find_balancer(client, word)["id"] for word in load_balancers] or balancer_ids(client)
        done: list[Mapping[str, Any]] = []
        hosts = {one["id"]: one for one in _staying(list_amphorae(client)) if one["role"] == GROUP}
        used: set[str] = set() if load_balancers else {*hosts}
        every = 0
        for balancer_id in chosen:
            owner = ("load_balancer", balancer_id)
            waiting = Waiting(client, owner, timeout, quiet=as_json, of=f"load balancer {balancer_id}")
            found = sorted(_staying(list_amphorae(client, owner)), key=lambda one: one["vrrp_state"] == "MASTER")
            used |= {one["host_id"] for one in found if one["host_id"]}
            found = [one for one in found if one["host_id"] is None]
            every += len(found)
            outdated = [one for one in found if force or one["agent_version"] != target]
            done += [_upgraded(client, one, target, waiting) for one in outdated]
        for host in (one for id_, one in hosts.items() if id_ in used):
            every += 1
            waiting = Waiting(client, owner_of(host), timeout, quiet=as_json, of=f"amphora {host['id']}")
            done += [_upgraded(client, host, target, waiting)] if force or host["agent_version"] != target else []
        facts: dict[str, Any] = {"version": target, "upgraded": done}
        if as_json:
            console.echo_json(facts)
        else:
            console.echo(f"{len(done)} of {every} agents were started anew; all have {target}")


def _staying(amphorae: Sequence[Amphora]) -> list[Amphora]:
    return [one for one in amphorae if one["status"] != statuses.PENDING_DELETE]


def _upgraded(client: Client, amphora: Amphora, target: str, waiting: Waiting) -> Mapping[str, Any]:
    id_, owner = amphora["id"], owner_of(amphora)
    facts = {
        "id": id_,
        "loadbalancer_id": amphora["loadbalancer_id"],
        "before": amphora["agent_version"],
        "after": target,
    }
    waiting.say(f"amphora {id_[:SHORT]} ({state_words(amphora)}): its agent is started anew")
    with waiting.named():
        answer = client.request(
            "PUT", f"/v2/octavia/amphorae/{id_}/agent", deadline=deadline(), wait=RESTART_SECONDS, subject=f"amphora {id_}",
            idempotent=False,
        )  # fmt: skip
    if answer.status_code == 204:
        version = find_amphora(client, id_)["agent_version"]
        if version != target:
            raise PermanentError(
                f"its agent was started anew and has version {version}, not {target}", subject=f"amphora {id_}",
                hint="look which code its host has; octaviactl failover --amphora replaces it",
            )  # fmt: skip
        return {**facts, "how": "restart"}
    waiting.say(f"amphora {id_[:SHORT]}: its agent does not come back; it is replaced")
    put(client, f"/v2/octavia/amphorae/{id_}/failover")
    waiting.until(
        lambda: id_ not in {one["id"] for one in list_amphorae(client, owner)} and not is_pending(client, owner),
        "it is not replaced",
    )
    return {**facts, "how": "replace"}


def _rotated(client: Client, before: str) -> bool:
    facts = client.control_plane(deadline=deadline())["certificate_authority"]
    return facts["issuer"] != before and facts["phase"] is None and not facts["waiting"]


def _serving(client: Client, id_: str) -> list[Amphora]:
    """It, or where it is one of a group what is on it."""
    return [one for one in list_amphorae(client) if id_ in (one["id"], one["host_id"]) and one["role"] != GROUP]


def _show(amphorae: Sequence[Amphora], seconds: float, *, as_json: bool, **facts: Any) -> None:
    if as_json:
        console.echo_json({**facts, "seconds": round(seconds, 3), "amphorae": list(amphorae)})
        return
    rows = [("amphora", "role", "VRRP", "status", "agent", "certificate until"), *map(_row, amphorae)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        text = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        console.echo(styled(text, dim=number == 0))
    console.echo(f"done after {seconds:.1f} s")


def _row(amphora: Amphora) -> tuple[str, ...]:
    vrrp = f"{amphora['vrrp_state'] or '-'}{' (drained)' if amphora['draining'] else ''}"
    until = str(amphora["cert_expiration"] or "-")
    role = f"{amphora['role']} on {amphora['host_id'][:SHORT]}" if amphora["host_id"] else amphora["role"]
    return amphora["id"], role, vrrp, amphora["status"], amphora["agent_version"] or "-", until
