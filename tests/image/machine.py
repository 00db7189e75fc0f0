# SPDX-License-Identifier: Apache-2.0
"""An amphora under QEMU as Nova would boot it: the image as a virtio disk, a config drive as a CD, interfaces by virtio.

Its networks are QEMU's own (user networking), so no privilege and no namespace is needed. ``Machine.HOST`` is this machine there.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import Self

from octavia_provider.agents import AgentClient
from octavia_provider.clouds.openstack import user_data
from octavia_provider.controller import amphorae
from octavia_provider.model.errors import OctaviaError
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import Amphora, Instance

AGENT_PORT = 9443
MANAGEMENT, GATEWAY, MAC = "10.11.0.15", "10.11.0.2", "fa:16:3e:00:00:01"
VIP, VIP_GATEWAY, VIP_MAC = "10.12.0.15", "10.12.0.2", "fa:16:3e:00:00:02"
GUEST_PORTS = {"agent": (MANAGEMENT, AGENT_PORT), "web": (VIP, 80)}
"""Of the guest, each forwarded from a port of this machine's loopback."""
UEFI = Path("/usr/share/ovmf/OVMF.fd")
KVM = os.access("/dev/kvm", os.R_OK | os.W_OK) and not Path("/sys/module/kvm_pvm").exists()
"""PVM's KVM runs kernels that are made for it, and no other."""


class Loopback:
    """The dialer of a control plane that reaches agents at forwarded ports."""

    def connect_socket(self, family: int) -> socket.socket:
        return socket.socket(family, socket.SOCK_STREAM)


class Machine:
    """``with Machine(image, folder) as machine:`` — booted, and ended by its process."""

    HOST = GATEWAY
    """This machine, as the amphora reaches it: what listens on its loopback."""

    def __init__(self, image: Path, folder: Path, *, firmware: str = "bios", memory: int = 512) -> None:
        self._image, self._folder, self._firmware, self._memory = image, folder, firmware, memory
        self.id, self.load_balancer_id = str(uuid.uuid4()), str(uuid.uuid4())
        secrets: dict[str, bytes] = {}
        self.authority = CertificateAuthority.load(
            lambda name, make: secrets.setdefault(name, secrets.get(name) or make()), str(uuid.uuid4()),
            clock=lambda: dt.datetime.now(dt.UTC),
        )  # fmt: skip
        self.heartbeats = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.heartbeats.bind(("127.0.0.1", 0))
        self.client = AgentClient(Loopback(), self.authority)  # type: ignore[arg-type]
        self.ports = {name: free_port() for name in GUEST_PORTS}
        self.host = Instance(
            amphora_id=self.id, load_balancer_id=self.load_balancer_id, agent=("127.0.0.1", self.ports["agent"])
        )
        self.console = folder / "console.log"
        self.how = f"{firmware}, {'KVM' if KVM else 'TCG'}"
        self.began = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    # ── what Nova does ───────────────────────────────────────────────────────────────────────────────────────────────
    def files(self) -> dict[str, tuple[int, bytes]]:
        """As the control plane writes them."""
        amphora = Amphora(id=self.id, load_balancer_id=self.load_balancer_id, heartbeat_key=b"k" * 32)
        receiver = f"{self.HOST}:{self.heartbeats.getsockname()[1]}"
        written = amphorae.files(
            amphora, self.authority, lambda: (receiver,), MANAGEMENT, AGENT_PORT, issued=lambda _: None
        )
        address = {"address": f"{MANAGEMENT}/24", "gateway": GATEWAY, "shared": False}
        described = [{"mac": MAC, "mtu": 1450, "addresses": [address]}]
        return {**written, user_data.INTERFACES: (0o644, json.dumps(described).encode())}

    def drive(self) -> Path:
        """A config drive, by the program that Nova uses."""
        latest = self._folder / "drive/openstack/latest"
        latest.mkdir(parents=True, exist_ok=True)
        (latest / "user_data").write_bytes(base64.b64decode(user_data.encode(self.files(), "this amphora")))
        (latest / "meta_data.json").write_text(
            json.dumps({"uuid": self.id, "hostname": f"amphora-{self.id[:8]}.novalocal"})
        )
        (latest / "network_data.json").write_text(json.dumps({"links": [], "networks": [], "services": []}))
        file = self._folder / "config.iso"
        form = ["-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-V", "config-2", "-r", "-J"]
        command = ["genisoimage", "-quiet", "-o", file, *form]
        subprocess.run([*command, self._folder / "drive"], check=True)
        return file

    def __enter__(self) -> Self:
        disk = self._folder / "disk.qcow2"
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", self._image.resolve(), "-F", "qcow2", disk, "2G"]
        subprocess.run(create, check=True)
        kvm, tcg = ("kvm", "host,arch-capabilities=off"), ("tcg,thread=multi", "max")
        accelerator, processor = kvm if KVM else tcg
        networks: list[str] = []
        for mac, (name, (address, port)) in zip((MAC, VIP_MAC), GUEST_PORTS.items(), strict=True):
            forward = f"hostfwd=tcp:127.0.0.1:{self.ports[name]}-{address}:{port}"
            networks += ["-netdev", f"user,id={name},net={address.rpartition('.')[0]}.0/24,{forward}"]
            networks += ["-device", f"virtio-net-pci,netdev={name},mac={mac}"]
        firmware = ["-bios", str(UEFI)] if self._firmware == "uefi" else []
        command = [
            "qemu-system-x86_64", "-machine", "pc,smm=off", "-accel", accelerator, "-cpu", processor, "-m", str(self._memory), "-smp", "1", "-nographic", "-nodefaults",
            "-serial", f"file:{self.console}", "-monitor", "none", *firmware,
            "-drive", f"file={disk},if=virtio,format=qcow2", "-drive", f"file={self.drive()},media=cdrom,if=ide,format=raw",
            *networks,
        ]  # fmt: skip
        self.began = time.monotonic()
        with (self._folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()
        self.heartbeats.close()

    async def ready(self, seconds: float) -> float:
        """Seconds from the start of QEMU to the agent's first answer. With its console, where none comes."""
        try:
            await self.client.ready(self.host, seconds)
        except OctaviaError as error:
            raise AssertionError(f"{error}\n{self.console.read_text(errors='replace')[-3000:]}") from error
        return time.monotonic() - self.began


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
