# SPDX-License-Identifier: Apache-2.0
"""``octaviactl register``: the control plane in Keystone's catalogue."""

from __future__ import annotations

import click

from . import options


@click.command()
@click.argument("url", required=False)
@click.option(
    "--os-cloud",
    metavar="NAME",
    envvar="OCTAVIA_OS_CLOUD",
    help="The OpenStack cloud, by its name in clouds.yaml. Default: OCTAVIA_OS_CLOUD, else OS_CLOUD or OS_AUTH_URL and its like.",
)
@click.option("--region", help="Default: that of the cloud.")
@click.option("--internal-url", metavar="URL", help="For the interface internal. Default: URL.")
@click.option("--admin-url", metavar="URL", help="For the interface admin. Default: URL.")
@click.option("--no-roles", is_flag=True, help="Leave Keystone's roles alone.")
@click.option("--remove", is_flag=True, help="Take the endpoints of the region out of the catalogue again.")
@options.as_json
def register(
    *,
    url: str | None,
    os_cloud: str | None,
    region: str | None,
    internal_url: str | None,
    admin_url: str | None,
    no_roles: bool,
    remove: bool,
    as_json: bool,
) -> None:
    """Have Keystone's catalogue say that load balancers are made at URL, and Keystone have the roles load-balancer_*.

    What is there already is left or changed, so that it can be repeated. It takes somebody who may change the catalogue.

    octaviactl register --os-cloud admin https://lb.example:9876
    """
    from octavia_provider.keystone import registration
    from octavia_provider.keystone.rules import ROLES

    if (url is None) != remove:
        raise click.UsageError("give the URL, or --remove")
    connection = registration.connect(os_cloud)
    place = region or connection.config.region_name or None
    if url is None:
        done = registration.unregister(connection, place)
    else:
        urls = {"public": url, "internal": internal_url or url, "admin": admin_url or url}
        roles = () if no_roles else ROLES
        wanted = registration.Registration(urls=urls, region=place, roles=roles)
        done = registration.register(connection, wanted)
    options.print_result("; ".join(done) or "nothing to do", as_json=as_json, region=place, done=done)
