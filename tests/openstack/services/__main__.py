# SPDX-License-Identifier: Apache-2.0
"""A real control plane of OpenStack on this machine, for tests: ``python tests/openstack/services up ROOT VENV`` and ``… down ROOT``.

Keystone, Placement, Glance, Neutron, Nova (two computes with the fake hypervisor) and Barbican, with MariaDB and RabbitMQ. All of it is under ROOT
and on loopback; what it started is ended by its process ids. Run by scripts/test-openstack, as root.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cloud

if __name__ == "__main__":
    verb, root, *rest = sys.argv[1:]
    if verb == "up":
        cloud.Cloud(Path(root), Path(rest[0])).up()
    else:
        cloud.down(Path(root))
