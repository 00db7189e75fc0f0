# SPDX-License-Identifier: Apache-2.0
"""``octaviactl reread``: certificates of a certificate manager are read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import NotFound, OctaviaError, PermanentError

from . import exit_codes, options
from .events import connected

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

SECONDS = 60.0


@click.command(
    epilog=options.exit_codes_help(exit_codes.OK, exit_codes.FAILED, exit_codes.NO_CONTROL_PLANE, exit_codes.NOT_FOUND)
)
@click.argument("references", nargs=-1, metavar="[ID|URL]...")
@options.control_plane
@options.as_json
def reread(references: tuple[str, ...], home: str | None, endpoint: str | None, as_json: bool) -> None:
    """Read certificates of a certificate manager (Barbican) again: those that are named, or all that something refers to.

    What has another content is put in force. What cannot be read is told; load balancers go on with what was read before.
    """
    with connected(home, endpoint) as client:
        chosen = _chosen(client, references)
        done = [_read(client, one) for one in chosen]
    if as_json:
        options.print_json({"certificates": done})
    else:
        for one in done:
            console.echo(f"{one['source']}: {one['error'] or ('another content' if one['changed'] else 'as before')}")
        if not done:
            console.echo("nothing refers to a certificate manager")
    if failed := [one for one in done if one["error"]]:
        raise PermanentError("see above", subject=f"{len(failed)} of {len(done)} were not read")


def _chosen(client: Client, references: tuple[str, ...]) -> list[dict[str, Any]]:
    from octavia_provider.client.deadline import Deadline

    found = client.request("GET", "/v2/octavia/tls-containers", deadline=Deadline(SECONDS)).json()["tls_containers"]
    copies = {one["id"]: one for one in found if one.get("source")}
    ids = [reference.rstrip("/").rpartition("/")[2] for reference in references]
    for id_ in ids:
        if id_ not in copies:
            message = "nothing refers to it, or it is a TLS container of our own"
            raise NotFound(message, subject=id_, hint="octaviactl reread names all that can be read again")
    return [copies[id_] for id_ in ids] or list(copies.values())


def _read(client: Client, one: dict[str, Any]) -> dict[str, Any]:
    from octavia_provider.client.deadline import Deadline

    path, facts = f"/v2/octavia/tls-containers/{one['id']}/reread", {"id": one["id"], "source": one["source"]}
    try:
        answer = client.request("PUT", path, deadline=Deadline(SECONDS), idempotent=False).json()
    except OctaviaError as error:
        return {**facts, "changed": False, "error": str(error)}
    return {**facts, "changed": answer["changed"], "error": None}
