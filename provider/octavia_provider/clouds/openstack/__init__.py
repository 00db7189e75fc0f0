# SPDX-License-Identifier: Apache-2.0
"""OpenStack: amphorae are servers of Nova, addresses are ports of Neutron, clients are let in by security groups.

session     calls of the services, by openstacksdk in a bounded pool of threads
failures    what a service answers, as our errors: its own words, and what to do
names       how everything is named and tagged, so that it is found again
neutron     ports and subnets
networks    ``ports.RemoteAllocation``
nova        servers, server groups, images, flavors
user_data   what a server is given on its config drive
cloud       ``ports.Cloud``
access      ``ports.ListenerAccess``
barbican    ``ports.CertificateManager``; secret_content: what is in its secrets
driver      all of it, as a control plane takes it
leftovers   what control planes have made in a project, for octaviactl
doctor      whether there is what a control plane needs

Nothing is imported before ``octaviactl serve --cloud openstack`` asks for it.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from pydantic import ValidationError

from octavia_provider.model.errors import Refused

from .settings import OpenStackSettings

HOW_TO = "docs/how-to/openstack.md"


def require_client() -> None:
    """``Refused`` where the client's package is not installed."""
    if importlib.util.find_spec("openstack") is None:
        hint = f"{sys.prefix}/bin/pip install --require-hashes -r requirements/openstack.txt"
        raise Refused("needs the package openstacksdk", subject="--cloud openstack", hint=hint)


def configuration(cloud: str | None) -> OpenStackSettings:
    """The settings, of which the environment says most; ``Refused`` says what is missing, the client's package too."""
    require_client()
    try:
        given: dict[str, Any] = {"cloud": cloud} if cloud else {}
        return OpenStackSettings(**given)
    except ValidationError as error:
        faults = (
            f"OCTAVIA_OPENSTACK_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors(include_url=False)
        )
        raise Refused("; ".join(faults), subject="--cloud openstack", hint=HOW_TO) from None
