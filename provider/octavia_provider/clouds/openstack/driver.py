# SPDX-License-Identifier: Apache-2.0
"""OpenStack with all that is particular to it, as a control plane takes it."""

from __future__ import annotations

from octavia_provider.ports import CloudDriver

from .access import SecurityGroups
from .amphora_ports import AmphoraPorts
from .barbican import Barbican
from .cloud import OpenStackCloud
from .networks import OpenStackNetworks
from .neutron import Neutron
from .nova import Nova
from .session import Session
from .settings import OpenStackSettings


def driver(settings: OpenStackSettings, control_plane_id: str) -> CloudDriver:
    """Nothing is called yet. ``control_plane_id``: whose everything is that is made; nothing else is ever touched."""
    session = Session(settings)
    nova, neutron = Nova(session, settings, control_plane_id), Neutron(session, control_plane_id)
    ports = AmphoraPorts(neutron, settings)
    return CloudDriver(
        name="openstack",
        cloud=OpenStackCloud(session, nova, ports, settings),
        networks=OpenStackNetworks(neutron, ports, nova),
        access=SecurityGroups(neutron, ports, nova),
        certificates=Barbican(session, control_plane_id),
    )
