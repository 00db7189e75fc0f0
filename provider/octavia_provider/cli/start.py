# SPDX-License-Identifier: Apache-2.0
"""``octaviactl start``: start the embedded control plane in the background and wait until traffic flows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import Unreachable

from . import exit_codes, options, overview_source, serving_check

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

POLL_SECONDS = 0.3
"""Seconds between two checks."""


@click.command(
    epilog="Exit codes: 0 every load balancer that should serve does; 1 some do not, or the control plane does not start."
)
@options.home
@click.option(
    "--timeout", default=60.0, show_default=True, type=click.FloatRange(0), help="Seconds to wait until traffic flows."
)
@click.option("--no-wait", is_flag=True, help="Return when the control plane runs.")
@options.as_json
def start(*, home: str | None, timeout: float, no_wait: bool, as_json: bool) -> None:
    """Start the control plane of this machine's embedded cloud, if it does not run (after a reboot, say), and wait until
    traffic flows through every load balancer that should serve.

    It makes again whatever should be there and is not. `octaviactl service install` starts it at every boot. An `up` that
    finds nothing to change makes no request to the control plane, so it does not start it. A home that belongs to OpenStack has
    settings that this command does not know: there it says what to run.
    """
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline

    client = embedded.connect(None, home)
    facts = client.control_plane(deadline=Deadline(90.0))
    if not as_json:
        console.echo(
            f"the control plane runs: version {facts['version']}, pid {facts['pid']}, {facts['objects']} objects"
        )
    not_serving = (
        {} if no_wait else wait_until_serving(client, timeout, lambda what: console.echo(f"waiting: {what}", err=True))
    )
    if as_json:
        console.echo_json({"control_plane": facts, "not_serving": not_serving})
    elif not_serving:
        console.print_error(
            "; ".join(f"{name}: {why}" for name, why in not_serving.items())
            + ". Try: octaviactl status; octaviactl logs"
        )
    elif not no_wait and facts["objects"]:
        console.echo("every load balancer that should serve does")
    if not_serving:
        sys.exit(exit_codes.FAILED)


def wait_until_serving(client: Client, timeout: float, report: Callable[[str], None]) -> Mapping[str, str]:
    """Wait until every load balancer that should serve does, or time is up; return those that do not, with the reason."""
    end = time.monotonic() + timeout
    reported: set[str] = set()
    while True:
        not_serving = _not_serving(client)
        if not not_serving or time.monotonic() >= end:
            return not_serving
        for name, why in not_serving.items():
            line = f"{name}: {why}"
            if line not in reported:
                reported.add(line)
                report(line)
        time.sleep(POLL_SECONDS)


def _not_serving(client: Client) -> dict[str, str]:
    try:
        found: dict[str, Any] = overview_source.overview(client)
    except Unreachable as error:
        return {"control plane": str(error)}
    return serving_check.not_serving(found)
