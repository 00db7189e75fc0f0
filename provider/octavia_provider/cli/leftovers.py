# SPDX-License-Identifier: Apache-2.0
"""``octaviactl leftovers``: objects of crashed runs that are in no stack's state; in OpenStack, what no store knows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import OctaviaError, PermanentError, TransientError, Unreachable

from . import cloud_choice, exit_codes, options

if TYPE_CHECKING:
    from octavia_provider.client.client import Client
    from octavia_provider.clouds.openstack.leftovers import Found


@click.command(epilog=options.exit_codes_help(exit_codes.OK, exit_codes.FAILED, exit_codes.NO_CONTROL_PLANE))
@options.control_plane
@cloud_choice.options
@click.option(
    "--control-plane",
    "others",
    metavar="ID",
    multiple=True,
    help="With --delete: also what this control plane has made in the OpenStack project. It must be gone for good.",
)
@click.option("--delete", is_flag=True, help="Delete them.")
@options.yes
@options.as_json
def leftovers(
    *,
    home: str | None,
    endpoint: str | None,
    cloud: str | None,
    os_cloud: str | None,
    config_file: Path | None,
    others: tuple[str, ...],
    delete: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what no stack is known to keep: made by a run that crashed, or by one that goes on at this moment.

    The next `up` of that stack takes up what it asks for again; the rest can be deleted here.

    On OpenStack also what has the tag of a control plane, and is not in the store of the home: servers, ports, security groups, server groups.
    Of other control planes it is shown (they may run), and deleted where --control-plane names them.
    """
    from octavia_provider.kit import paths

    where = paths.home(home)
    is_openstack, name = cloud_choice.openstack(where, cloud=cloud, os_cloud=os_cloud, config_file=config_file)
    client = options.running_client(home, endpoint)
    found = _in_stacks_of_nobody(client, home, is_openstack=is_openstack)
    in_cloud, own = _in_openstack(where, endpoint, name) if is_openstack else ([], None)
    if as_json:
        shown = {"in_cloud": [asdict(one) | {"own": one.control_plane == own} for one in in_cloud]}
        options.print_json({"leftovers": found} | (shown if is_openstack else {}))
    else:
        for item in found:
            console.echo(f"{item['created_at']}  {item['kind']}  {item['id']}  {item['name']}  {item['owner']['urn']}")
        for one in in_cloud:
            console.echo(f"{one.created_at or '-'}  {one.kind}  {one.id}  {one.name}  {_whose(one, own)}")
        if not found and not in_cloud:
            console.echo("no leftovers" if client or is_openstack else "No control plane runs here.")
    chosen = [one for one in in_cloud if one.control_plane is not None and one.control_plane in (own, *others)]
    if not delete or not (found or chosen):
        return
    if not yes:
        console.confirm(f"Delete these {len(found) + len(chosen)}? (No run may be going on.)", err=as_json)
    failed = [error for item in found if (error := _try_delete(client, item))]
    failed += _delete_in_openstack(name, chosen) if chosen else []
    if failed:
        raise PermanentError("; ".join(failed), subject=f"{len(failed)} of {len(found) + len(chosen)} were not deleted")


def _in_stacks_of_nobody(client: Client | None, home: str | None, *, is_openstack: bool) -> list[dict[str, Any]]:
    from octavia_provider.client.deadline import Deadline
    from octavia_provider.kit import paths

    if client is not None:
        try:
            found = client.request("GET", "/v2/octavia/leftovers", deadline=Deadline(30.0)).json()["leftovers"]
        except TransientError as error:
            raise options.NoAnswer(error) from None
        return list(found)
    if not is_openstack and _has_state(paths.home(home)):
        silent = Unreachable("does not run; it alone knows", subject="the control plane", hint=options.start_hint(home))
        raise options.NoAnswer(silent)
    return []


def _has_state(home: Path) -> bool:
    from octavia_provider.kit import paths
    from octavia_provider.store import offline

    try:
        return paths.database_url(home).exists() or bool(offline.objects(paths.database(home)))
    except OSError as error:
        raise options.NoAnswer(
            Unreachable(str(error), subject="the store of this home", hint=options.UNREADABLE)
        ) from None


def _whose(one: Found, own: str | None) -> str:
    if one.control_plane is None:
        return (
            "of no control plane that is known (stock Octavia names such groups alike): openstack server group delete"
        )
    return "not in the store" if one.control_plane == own else f"of control plane {one.control_plane}"


def _in_openstack(home: Path, endpoint: str | None, name: str | None) -> tuple[list[Found], str | None]:
    """What the store does not know, and the id of its control plane. The store is read before and after the cloud: what is
    made or deleted meanwhile is in one of both."""
    import asyncio

    from octavia_provider.clouds.openstack import leftovers as cloud

    before = cloud_choice.known(home, endpoint)
    found = asyncio.run(cloud.look(name))
    after = cloud_choice.known(home, endpoint)
    own = before.control_plane if before else (cloud_choice.written_down(home) or {}).get("control_plane")
    return cloud.left(cloud.left(found, before), after), own


def _delete_in_openstack(name: str | None, found: list[Found]) -> list[str]:
    import asyncio

    from octavia_provider.clouds.openstack import leftovers as cloud

    return asyncio.run(cloud.take_away(name, found))


def _try_delete(client: Any, item: dict[str, Any]) -> str:
    """Delete one object; return the error, "" on success."""
    from octavia_provider.client.deadline import Deadline

    try:
        client.delete(
            item["kind"], item["id"], parent=item["parent_id"], subject=f"{item['kind']} {item['name'] or item['id']}",
            deadline=Deadline(120.0),
        )  # fmt: skip
    except OctaviaError as error:
        return str(error)
    return ""
