# SPDX-License-Identifier: Apache-2.0
"""``octaviactl image upload|list|roll``: amphora images in Glance, and amphorae that are replaced by those of the newest one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.kit.console import styled
from octavia_provider.model.errors import PermanentError

from . import exit_codes, options
from .events import SHORT, connected
from .tree import state_words
from .waiting import (
    GROUP,
    Amphora,
    Owner,
    Waiting,
    balancer_ids,
    find_balancer,
    is_pending,
    list_amphorae,
    owner_of,
)

if TYPE_CHECKING:
    from octavia_provider.client.client import Client
    from octavia_provider.clouds.openstack.images import Image

NOTICED_SECONDS = 60.0
"""After which a control plane boots from an image that has come (``clouds.openstack.nova.KNOWN_SECONDS``)."""
os_cloud = click.option(
    "--os-cloud", metavar="NAME", envvar="OCTAVIA_OS_CLOUD",
    help="The OpenStack cloud, by its name in clouds.yaml. Default: OCTAVIA_OS_CLOUD, else OS_CLOUD or OS_AUTH_URL and its like.",
)  # fmt: skip
tag_option = click.option(
    "--tag", default="amphora", show_default=True, help="Of the images that amphorae are made from."
)


@click.group()
def image() -> None:
    """Put amphora images into Glance, and roll them through amphorae."""


@image.command(epilog=options.exit_codes_help(exit_codes.OK, exit_codes.FAILED))
@click.argument(
    "file", type=click.Path(dir_okay=False, path_type=Path), default=Path("build/amphora-image/amphora.qcow2")
)
@click.option("--name", help="Default: octavia-amphora-, and the first digits of its SHA-256.")
@tag_option
@os_cloud
@options.as_json
def upload(*, file: Path, name: str | None, tag: str, os_cloud: str | None, as_json: bool) -> None:
    """Put FILE, an image of `make image`, into Glance: tagged, with the versions of what it is made of as properties.

    FILE is a qcow2, with a .json of the same name beside it. What is there already is not uploaded again.
    """
    from octavia_provider.clouds.openstack import images

    described = images.describe(file)
    connection = _connect(os_cloud)
    made, new = images.upload(connection, described, name=name or f"octavia-amphora-{described.sha256[:12]}", tag=tag)
    words = "uploaded" if new else "there already"
    options.print_result(
        f"{words}: {made.id} ({made.name}), {made.size / 1e6:.0f} MB, tag {tag}", as_json=as_json, uploaded=new,
        image=asdict(made),
    )  # fmt: skip


@image.command("list", epilog=options.exit_codes_help(exit_codes.OK, exit_codes.FAILED))
@tag_option
@os_cloud
@options.as_json
@options.control_plane
def list_(*, tag: str, os_cloud: str | None, as_json: bool, home: str | None, endpoint: str | None) -> None:
    """Show the images with the tag, the newest first, and how many amphorae were made from each.

    The newest active one is what new amphorae are made from. Without a running control plane, nothing is said of amphorae.
    """
    from octavia_provider.clouds.openstack import images

    found = images.listed(_connect(os_cloud), tag)
    client = options.running_client(home, endpoint)
    used = Counter(one["image_id"] for one in list_amphorae(client) if one["host_id"] is None) if client else None
    known = {one.id for one in found}
    others = {str(id_ or "unknown"): count for id_, count in (used or {}).items() if id_ not in known}
    if as_json:
        shown = [{**asdict(one), "amphorae": None if used is None else used[one.id]} for one in found]
        console.echo_json({"images": shown, "amphorae_of_others": others})
        return
    rows = [("image", "made", "status", "MB", "agent", "haproxy", "checksum", "amphorae")]
    rows += [
        (
            one.id, one.created_at, one.status, f"{one.size / 1e6:.0f}", one.versions.get("agent", "-"),
            one.versions.get("haproxy", "-"), one.checksum[:19] or "-", "-" if used is None else str(used[one.id]),
        )
        for one in found
    ]  # fmt: skip
    _table(rows)
    for id_, count in others.items():
        console.echo(f"{count} of {'an unknown image' if id_ == 'unknown' else f'image {id_}, which has no tag {tag}'}")


@image.command(
    epilog=options.exit_codes_help(exit_codes.OK, exit_codes.FAILED, exit_codes.NO_CONTROL_PLANE, exit_codes.NOT_FOUND)
)
@click.argument("load_balancers", nargs=-1, metavar="[NAME|ID]...")
@tag_option
@os_cloud
@click.option(
    "--timeout", default=900.0, show_default=True, type=click.FloatRange(0), help="Seconds of one amphora at most."
)
@options.as_json
@options.control_plane
def roll(
    *, load_balancers: tuple[str, ...], tag: str, os_cloud: str | None, timeout: float, as_json: bool, home: str | None,
    endpoint: str | None,
) -> None:  # fmt: skip
    """Replace amphorae that were made from older images with the tag by ones of the newest: of all, or of the load balancers named.

    One after the other, without an outage; of a pair first the backup, then the one with the VIPs, which hands them over. It
    stops at the first one that is not replaced; the same command goes on. Images without the tag are left alone: flavors may name
    others (amp_image_tag).
    """
    from octavia_provider.clouds.openstack import images

    connection = _connect(os_cloud)
    tagged = {one.id for one in images.listed(connection, tag)}
    with connected(home, endpoint) as client:
        target = images.newest(connection, tag)
        chosen = [find_balancer(client, word)["id"] for word in load_balancers] or balancer_ids(client)
        todo = [one for one in _in_order(client, chosen) if one["image_id"] in tagged - {target.id}]
        if todo:
            _let_it_be_noticed(target, quiet=as_json)
        done = [_replaced(client, one, target, timeout, quiet=as_json) for one in todo]
    line = f"{len(done)} amphorae were replaced; the newest image with the tag {tag} is {target.id}"
    options.print_result(line, as_json=as_json, image_id=target.id, replaced=done)


def _in_order(client: Client, chosen: Sequence[str]) -> Iterator[Amphora]:
    """Amphorae with an instance of their own: of each load balancer the backup first; then those of groups that these are on."""
    every = list_amphorae(client)
    for balancer_id in chosen:
        own = [one for one in every if one["loadbalancer_id"] == balancer_id and one["host_id"] is None]
        yield from sorted(own, key=lambda one: one["vrrp_state"] == "MASTER")
    used = {one["host_id"] for one in every if one["loadbalancer_id"] in set(chosen)}
    yield from (one for one in every if one["role"] == GROUP and one["id"] in used)


def _let_it_be_noticed(target: Image, *, quiet: bool) -> None:
    """Control planes look for images once a minute: one that has just come is waited for."""
    age = (datetime.now(UTC) - datetime.fromisoformat(target.created_at)).total_seconds()
    if (rest := min(NOTICED_SECONDS - age, NOTICED_SECONDS)) > 0:
        if not quiet:
            console.echo(f"image {target.id} is new: the control plane knows of it in {rest:.0f} s")
        time.sleep(rest)


def _replaced(client: Client, amphora: Amphora, target: Image, seconds: float, *, quiet: bool) -> Mapping[str, Any]:
    id_, owner = amphora["id"], owner_of(amphora)
    waiting = Waiting(client, owner, seconds, quiet=quiet, of=f"amphora {id_}")
    before = {one["id"] for one in list_amphorae(client, owner)}
    waiting.say(f"amphora {id_[:SHORT]} ({state_words(amphora)}): it is replaced")
    waiting.put(f"/v2/octavia/amphorae/{id_}/failover")
    took = waiting.until(lambda: _is_replaced(client, id_, owner), "it is not replaced")
    new = [one for one in list_amphorae(client, owner) if one["id"] not in before]
    if any(one["image_id"] != target.id for one in new):
        raise PermanentError(
            f"it was replaced by one of image {new[0]['image_id']}, not {target.id}", subject=f"amphora {id_}",
            hint="octaviactl image list; flavors may name another tag (amp_image_tag), settings an owner (image_owner)",
        )  # fmt: skip
    return {
        "id": id_, "loadbalancer_id": amphora["loadbalancer_id"], "before": amphora["image_id"], "after": target.id,
        "by": [one["id"] for one in new], "seconds": round(took, 3),
    }  # fmt: skip


def _is_replaced(client: Client, id_: str, owner: Owner) -> bool:
    return id_ not in {one["id"] for one in list_amphorae(client, owner)} and not is_pending(client, owner)


def _connect(os_cloud: str | None) -> Any:
    from octavia_provider.keystone import registration

    return registration.connect(os_cloud)


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        text = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        console.echo(styled(text, dim=number == 0))
