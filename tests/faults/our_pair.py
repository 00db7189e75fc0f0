# SPDX-License-Identifier: Apache-2.0
"""A pair of this provider's: a load balancer of an ACTIVE_STANDBY flavor in an installation, and a member that answers with the
address of the amphora that asks."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netns.installation import Installation, installation
from netns.processes import agents_among, parent
from netns.traffic import until
from octavia_provider.client.deadline import Deadline

from . import member
from .pair import NotYet, Pair, asked, descendants

SETTINGS = Path("root/etc/octavia-amphora/agent.json")
MEMBER = member.configuration(":80")
TEMPLATE = """{{% extends "octavia/haproxy/listener.j2" %}}
{{% block frontend %}}{line}{{% endblock %}}
"""
PAIR = {"loadbalancer_topology": "ACTIVE_STANDBY"}
FLAVORS: dict[str, dict[str, Any]] = {
    "pair": PAIR,
    "slower": {**PAIR, "vrrp_advertisement_interval": 0.3},
    "single": {"loadbalancer_topology": "SINGLE"},
}


class OctaviaPair(Pair):
    """``close`` leaves the installation to who made it. ``flavors``: ids of those of ``FLAVORS``."""

    kind = "ours"

    def __init__(self, site: Installation, *, number: int = 0, network: dict[str, Any] | None = None) -> None:
        self.site = site
        self.network = network or site.create("local_network", name="net")
        self.flavors = {one: flavor(site, f"{one}-{number}", **data) for one, data in FLAVORS.items()}
        self.load_balancer = site.create(
            "load_balancer", name=f"lb{number}", vip_network_id=self.network["id"], flavor_id=self.flavors["pair"]
        )
        assert self.load_balancer["provisioning_status"] == "ACTIVE", self.load_balancer
        self.id = str(self.load_balancer["id"])
        self.vip = str(self.load_balancer["vip_address"])
        self.url = f"http://{self.vip}/"
        self.listener = site.create(
            "listener", name=f"web{number}", loadbalancer_id=self.id, protocol="HTTP", protocol_port=80
        )
        self.pool = site.create(
            "pool", name=f"pool{number}", listener_id=self.listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN"
        )
        self.member: dict[str, Any] = {}
        self._unplugged: set[str] = set()
        super().__init__()

    @property
    def inside(self) -> int:  # type: ignore[override]
        """The fabric, from where VIPs are reached."""
        return self.site.holder

    def add_member(self, host: dict[str, Any]) -> None:
        """A host becomes the member; return when it answers through the VIP."""
        values = {"name": host["name"], "address": host["address"], "protocol_port": 80}
        self.member = self.site.create("member", parent=self.pool["id"], **values)
        assert self.member["provisioning_status"] == "ACTIVE", self.member
        until(self.serves, what=f"{self.vip} to answer")

    # ── what there is now ────────────────────────────────────────────────────────────────────────────────────────────
    def watch(self) -> None:
        self.amphorae = {amphora: parent(agent) for amphora, agent in self.agents().items()}
        super().watch()

    def agents(self) -> dict[str, int]:
        """The agents' processes by their amphorae's ids, of this load balancer."""
        mine = {amphora["id"] for amphora in self.listed()}
        return {amphora: pid for amphora, pid in agents(self.site.holder).items() if amphora in mine}

    def listed(self) -> list[dict[str, Any]]:
        """The amphorae, by the API."""
        found = self.site.get_json("/v2/octavia/amphorae")["amphorae"]
        return [amphora for amphora in found if amphora["loadbalancer_id"] == self.id]

    def over(self, harmed: str) -> object:
        """Of an amphora whose link is down: another one has the VIP; else: there are two again."""
        if harmed in self._unplugged:
            owners = self.recorder.owners()
            return harmed not in owners if owners else NotYet("nobody has the VIP")
        return self.restored()

    def restored(self) -> object:
        reason = self._not_restored()
        return NotYet(reason) if reason else True

    def _not_restored(self) -> str:
        """Why not; empty where it is."""
        running = agents(self.site.holder)  # first what costs little: this is asked while others want the processors
        owners = self.recorder.owners()
        if unplugged := self._unplugged & set(running):
            return f"{unplugged} has no link"
        if len(owners) > 1:
            return f"{owners} have the VIP"
        found = self.listed()
        states = sorted((one["role"], one["status"]) for one in found)
        if states != [("BACKUP", "ALLOCATED"), ("MASTER", "ALLOCATED")]:
            return f"they are {states}"
        for one in found:
            if one["id"] not in running or not self._runs(one["id"], running[one["id"]]):
                return f"not all of {one['id']} runs; agents: {running}, haproxy and keepalived: {self._programs(one['id'])}"
        self.watch()
        status = self.site.get("load_balancer", self.id)["provisioning_status"]
        owners = self.recorder.owners()
        return (
            "" if len(owners) == 1 and status == "ACTIVE" else f"it is {status}, and {owners or 'nobody'} has the VIP"
        )

    def _programs(self, name: str) -> tuple[list[int], list[int]]:
        """haproxy's workers, and keepalived's child."""
        return (self.haproxies(name)[1], self.keepaliveds(name)[1:]) if name in self.amphorae else ([], [])

    def _runs(self, name: str, agent: int) -> bool:
        self.amphorae[name] = parent(agent)
        programs = (*self._programs(name), [agent])
        return all(found and not any(map(_stopped, found)) for found in programs)

    # ── what can be done to it ───────────────────────────────────────────────────────────────────────────────────────
    def link(self, name: str, state: str) -> None:
        (self._unplugged.add if state == "down" else self._unplugged.discard)(name)
        for port in self.ports(name):
            self.ip(f"link set {port} {state}")

    def ports(self, name: str) -> list[str]:
        """The fabric's ends of the interfaces that carry the VIP: all but that of the management network."""
        links = json.loads(self.site.inside("ip", "-json", "link").stdout)
        management = next(one["ifname"] for one in links if one.get("ifalias") == "network:management")
        mine = [one for one in links if name in one.get("ifalias", "")]
        return [one["ifname"] for one in mine if one["master"] != management]

    def repair(self, harmed: str) -> None:
        """It repairs itself; a cable that was pulled is put in again."""
        if harmed in self._unplugged:
            self.link(harmed, "up")

    def template(self, line: str) -> None:
        """An operator's template that adds a line to each listener; the control plane takes it when it is told to apply."""
        path = templates(self.site.home) / "haproxy" / "listener.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEMPLATE.format(line=f"\n    {line}\n" if line else ""))

    def change(self) -> None:
        """A change is put in force, on both."""
        weight = int(self.site.get("member", self.member["id"], parent=self.pool["id"])["weight"]) % 200 + 1
        changed = self.site.update("member", self.member["id"], parent=self.pool["id"], weight=weight)
        assert changed["provisioning_status"] == "ACTIVE", changed

    def close(self) -> None:
        self.site.client.request("DELETE", f"/v2/lbaas/loadbalancers/{self.id}", params={"cascade": "true"}, wait=30,
                                 deadline=Deadline(60.0))  # fmt: skip


def templates(home: Path) -> Path:
    """Where the operator's templates are."""
    return home.parent / "templates"


@contextlib.contextmanager
def site_of_pairs(home: Path) -> Iterator[Installation]:
    """A started installation that looks for an operator's templates."""
    templates(home).mkdir()
    with installation(home, "--templates-dir", str(templates(home))) as site:
        yield site


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A folder on a disk of its own that is small enough to be filled; its path is short enough for sockets."""
    disk = Path(tempfile.mkdtemp(prefix="oct-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "octavia", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        shutil.rmtree(disk, ignore_errors=True)


def flavor(site: Installation, name: str, **data: Any) -> str:
    """Its id."""
    values = {"name": name, "provider_name": "amphora", "flavor_data": json.dumps(data)}
    profile = site.create("flavor_profile", **values)
    return str(site.create("flavor", name=name, flavor_profile_id=profile["id"], enabled=True)["id"])


def member_host(site: Installation, network: dict[str, Any], name: str = "member") -> dict[str, Any]:
    """A host that answers with the address of who asks."""
    start = f"cat > /tmp/member.cfg <<'END'\n{MEMBER}END\nexec haproxy -db -f /tmp/member.cfg"
    made = site.create("local_host", name=name, network_id=network["id"], command=["sh", "-c", start], user="root")
    assert made["provisioning_status"] == "ACTIVE", made
    until(lambda: _listens(site.holder, made["address"]), what="the member to listen")
    return made


def agents(holder: int) -> dict[str, int]:
    """All agents' processes by their amphorae's ids."""
    found = {}
    for pid in agents_among(descendants(holder)):
        try:
            settings = json.loads((Path(f"/proc/{pid}") / SETTINGS).read_bytes())
        except (OSError, ValueError):
            continue
        found[str(settings["amphora_id"])] = pid
    return found


def octaviactl(site: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of an operator."""
    line = [sys.executable, "-m", "octavia_provider.cli.main", *words, "--home", str(site.home)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def _listens(inside: int, address: str) -> bool:
    try:
        return asked(inside, address)
    except OSError:
        return False


def _stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TZ"
    except OSError:
        return True
