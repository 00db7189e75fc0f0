# SPDX-License-Identifier: Apache-2.0
"""``octaviactl start``: the embedded control plane, in the background."""

from __future__ import annotations

import click

from . import options


@click.command()
@options.home
def start(home: str | None) -> None:
    """Start the control plane of this machine's embedded cloud, if it does not run: after a reboot, say.

    It makes again whatever should be there and is not. An `up` that changes nothing calls nobody, so it starts nothing;
    `octaviactl service install` starts the control plane at every boot.
    """
    from octavia_provider.client import embedded
    from octavia_provider.client.waiting import Deadline

    client = embedded.connect(None, home)
    facts = client.control_plane(deadline=Deadline(90.0))
    click.echo(f"the control plane runs: version {facts['version']}, pid {facts['pid']}, {facts['objects']} objects")
