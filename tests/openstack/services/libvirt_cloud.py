# SPDX-License-Identifier: Apache-2.0
"""The services with computes that boot real machines: each a Nova compute with a libvirt of its own, in namespaces for processes, mounts and
its host name. So libvirt's files, which have fixed places, are written nowhere on this machine, and all machines end with their compute.

QEMU runs as root here (``/dev/kvm`` is often root's alone), which is for tests and for nothing else. Ports are bound as taps, which
the test puts on bridges: see ``virtual_machines``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from cloud import Cloud, connect
from configuration import COMPUTES, Configuration, Sections

KVM = os.access("/dev/kvm", os.R_OK | os.W_OK) and not Path("/sys/module/kvm_pvm").exists()
"""PVM's KVM runs kernels that are made for it, and no other."""
DEBIANS_PYTHON = Path("/usr/lib/python3/dist-packages")
SCRIPT = """
hostname "$1"
shift
for folder in /run/libvirt /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
    mkdir -p $folder && mount -t tmpfs -o mode=755 tmpfs $folder
done
mkdir -p /etc/libvirt/qemu /var/lib/libvirt/qemu
cat >/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
END
printf 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nlog_outputs = "3:stderr"\n' >/etc/libvirt/libvirtd.conf
libvirtd --pid-file /run/libvirt/libvirtd.pid &
until [ -S /run/libvirt/libvirt-sock ]; do
    kill -0 $! || exit 1
    sleep 0.1
done
"$@" &
wait $!
"""
"""In the namespaces of a compute: its name, and the command of Nova's compute. The shell is their first process and stays, since libvirt waits
until somebody has reaped what was a QEMU."""


class LibvirtConfiguration(Configuration):
    """Machines of QEMU, by KVM where this machine's runs any kernel."""

    mechanism_driver = "bind_taps"

    def write(self) -> None:
        super().write()
        for name in COMPUTES:
            (self.root / "state" / name / "instances").mkdir()

    def _nova(self) -> Sections:
        found = {name: dict(values) for name, values in super()._nova().items()}
        found["DEFAULT"] |= {
            "compute_driver": "libvirt.LibvirtDriver",
            "force_raw_images": False,
            "use_cow_images": True,
        }
        del found["DEFAULT"]["instances_path"]  # each compute has its own, in its state_path
        found["libvirt"] = {
            "virt_type": "kvm" if KVM else "qemu",
            "cpu_mode": "none",
            "connection_uri": "qemu:///system",
        }
        helper = f"{self.venv}/bin/privsep-helper --config-file {self.etc}/nova/nova.conf"
        for context in (
            "nova_sys_admin",
            "privsep_osbrick",
            "vif_plug_linux_bridge_privileged",
            "vif_plug_ovs_privileged",
        ):
            found[context] = {"helper_command": helper}
        return found


class LibvirtCloud(Cloud):
    """Keystone, Placement, Glance, Neutron, Nova, Barbican and Heat, with machines."""

    configuration: ClassVar[type[Configuration]] = LibvirtConfiguration

    def up(self) -> None:
        """With Debian's own binding of libvirt, which is of Debian's libvirt."""
        plugins = self.root / "plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        for file in (*DEBIANS_PYTHON.glob("libvirt*.py"), *DEBIANS_PYTHON.glob("libvirtmod*.so")):
            (plugins / file.name).symlink_to(file)
        super().up()

    def _compute(self, name: str, *command: Any) -> None:
        alone: Sequence[str] = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        super()._compute(name, "unshare", *alone, "bash", "-euc", SCRIPT, "compute", name, *command)

    def _contents(self) -> None:
        """A flavor in which the image has room."""
        super()._contents()
        connect().compute.create_flavor(name="machine", ram=512, vcpus=1, disk=2)
