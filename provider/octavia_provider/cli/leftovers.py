# SPDX-License-Identifier: Apache-2.0
"""``octaviactl leftovers``: objects of crashed runs that are in no stack's state."""

from __future__ import annotations

from typing import Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import OctaviaError, PermanentError

from . import options


@click.command()
@options.control_plane
@click.option("--delete", is_flag=True, help="Delete them.")
@options.yes
@options.as_json
def leftovers(home: str | None, endpoint: str | None, delete: bool, yes: bool, as_json: bool) -> None:
    """Show what no stack is known to keep: made by a run that crashed, or by one that goes on at this moment.

    The next `up` of that stack takes up what it asks for again; the rest can be deleted here.
    """
    from octavia_provider.client.deadline import Deadline

    client = options.running_client(home, endpoint)
    found: list[dict[str, Any]] = []
    if client is not None:
        found = client.request("GET", "/v2/octavia/leftovers", deadline=Deadline(30.0)).json()["leftovers"]
    if as_json:
        options.print_json({"leftovers": found})
    else:
        for item in found:
            console.echo(f"{item['created_at']}  {item['kind']}  {item['id']}  {item['name']}  {item['owner']['urn']}")
        if not found:
            console.echo("no leftovers" if client else "No control plane runs here.")
    if not delete or not found:
        return
    if not yes:
        console.confirm(f"Delete these {len(found)}? (No run may be going on.)", err=as_json)
    failed = [error for item in found if (error := _try_delete(client, item))]
    if failed:
        raise PermanentError("; ".join(failed), subject=f"{len(failed)} of {len(found)} were not deleted")


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
