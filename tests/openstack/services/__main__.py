# SPDX-License-Identifier: Apache-2.0
"""A real control plane of OpenStack on this machine, for tests: ``python tests/openstack/services up ROOT VENV [octavia|libvirt]`` and ``… down ROOT``.

Keystone, Placement, Glance, Neutron, Nova (two computes with the fake hypervisor), Barbican and Heat, with MariaDB and RabbitMQ. All of it is under ROOT
and on loopback; what it started is ended by its process ids. Run by scripts/test-openstack, as root. With ``octavia``: Keystone and Octavia alone.
With ``libvirt``: computes that boot machines.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cloud
import libvirt_cloud
import octavia

if __name__ == "__main__":
    verb, root, *rest = sys.argv[1:]
    if verb == "up":
        sorts = {"octavia": octavia.OctaviaCloud, "libvirt": libvirt_cloud.LibvirtCloud}
        sort = sorts[rest[1]] if rest[1:] else cloud.Cloud
        sort(Path(root), Path(rest[0])).up()
    else:
        cloud.down(Path(root))
