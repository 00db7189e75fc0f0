# SPDX-License-Identifier: Apache-2.0
"""Which cloud a command is about: what its options say, else the environment, else what the control plane of the home has written down."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.model.errors import Refused

if TYPE_CHECKING:
    from octavia_provider.clouds.openstack.leftovers import Known

_OPTIONS = (
    click.option(
        "--cloud",
        type=click.Choice(["embedded", "openstack"]),
        help="Default: OCTAVIA_CLOUD, else that of the home's control plane.",
    ),
    click.option(
        "--os-cloud",
        metavar="NAME",
        help="The OpenStack cloud, by its name in clouds.yaml. Default: OCTAVIA_OS_CLOUD, else that of the home's control plane.",
    ),
    click.option(
        "--config",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The file of settings of the control plane.",
    ),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those that choose."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def openstack(
    home: Path, *, cloud: str | None, os_cloud: str | None, config_file: Path | None
) -> tuple[bool, str | None]:
    """Whether it is OpenStack, and its name in ``clouds.yaml``."""
    from octavia_provider.kit import paths

    if config_file is not None:
        from . import settings_file

        settings_file.take(config_file)
    written = written_down(home)
    name = os_cloud or os.environ.get("OCTAVIA_OS_CLOUD") or (written or {}).get("os_cloud")
    chosen = cloud or os.environ.get("OCTAVIA_CLOUD") or ("embedded" if written is None else "openstack")
    if chosen == "embedded" and written is not None:
        hint = f"leave out --cloud and OCTAVIA_CLOUD, or name another home; {paths.openstack_file(home)} says so"
        raise Refused("its control plane makes amphorae in OpenStack", subject=str(home), hint=hint)
    if chosen == "openstack":
        from octavia_provider.clouds.openstack import require_client
        from octavia_provider.kit import logfile

        require_client()
        logfile.configure(None, level="warning")  # OpenStack is called in this process; its log lines are not output
    return chosen == "openstack", name


def written_down(home: Path) -> dict[str, Any] | None:
    """What a control plane on OpenStack has written into its home; None: there is none."""
    from octavia_provider.kit import home_cloud, paths

    try:
        return home_cloud.openstack(home)
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be read: {error}", subject=str(paths.openstack_file(home))) from error


def known(home: Path, endpoint: str | None) -> Known | None:
    """What the store of the home knows now: asked of its control plane, or read where none runs. None: there is no store."""
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline
    from octavia_provider.clouds.openstack.leftovers import Known
    from octavia_provider.kit import paths
    from octavia_provider.store import offline

    if endpoint or embedded.running(home):
        client, deadline = embedded.connect(endpoint, str(home), start=False), Deadline(60.0)
        try:
            facts = client.control_plane(deadline=deadline)
            amphorae = client.request("GET", "/v2/octavia/amphorae", deadline=deadline).json()["amphorae"]
            balancers = client.request("GET", "/v2/lbaas/loadbalancers", params={"fields": "id"}, deadline=deadline)
            groups = {one["amphora_group_id"] for one in amphorae}
            scopes = {one["id"] for one in balancers.json()["loadbalancers"]} | groups
        finally:
            client.close()
        return Known(facts["id"], frozenset(scopes), frozenset(one["id"] for one in amphorae))
    if paths.database_url(home).exists():
        raise Refused(
            f"keeps its state in {paths.database_url(home).read_text().strip()}, and no control plane runs",
            subject=str(home), hint="octaviactl serve --database URL",
        )  # fmt: skip
    database = paths.database(home)
    control_plane_id = offline.control_plane_id(database)
    if control_plane_id is None:
        return None
    amphora_ids = frozenset(id_ for id_, _ in offline.amphorae(database))
    return Known(control_plane_id, frozenset(offline.scopes(database)), amphora_ids)
