# SPDX-License-Identifier: Apache-2.0
"""What a control plane needs in OpenStack, for ``octaviactl doctor``: each check with its remedy. Nothing is made or changed."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from octavia_provider.model.errors import NotFound, OctaviaError

from . import configuration
from .cloud import AGENT_PORT
from .failures import AGAIN
from .neutron import Neutron
from .nova import Nova
from .session import CREDENTIALS, MICROVERSIONS, SERVICES, Json, Session
from .settings import OpenStackSettings

NEEDED = ("nova", "neutron", "glance")
SMALLEST_RAM = 512
"""MiB: haproxy, keepalived and the agent run in that."""
PAIR = {"instances": 3, "server_groups": 1, "port": 9, "security_group": 1, "security_group_rule": 8}
"""What one pair more takes while one of it is replaced. Ports: three for each amphora, less what is shared, and the VIP's."""
OPTIONS = {
    "instances": "instances", "cores": "cores", "ram": "ram", "server_groups": "server-groups", "port": "ports",
    "security_group": "secgroups", "security_group_rule": "secgroup-rules",
}  # fmt: skip
"""How ``openstack quota set`` calls them."""
OTHERS = "networks, security groups, flavor, image, quotas"
HOW_TO = "docs/how-to/openstack.md"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, whether it is well, what was seen, and what to do where it is not. ``needed``: without it
    no load balancer works."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True


def check(cloud: str | None) -> list[Check]:
    """All findings about a cloud of ``clouds.yaml`` and the settings in the environment; what depends on one that fails is left out."""
    try:
        settings = configuration(cloud)
    except OctaviaError as error:
        return [Check("settings", False, error.message, error.hint)]
    return asyncio.run(_check(settings))


async def _check(settings: OpenStackSettings) -> list[Check]:
    session = Session(settings)
    try:
        try:
            await session.sign_in()
        except OctaviaError as error:
            words = error.message if error.subject != "Keystone" else f"Keystone {error.message}"
            return [
                Check("credentials", False, words, _fix(error, CREDENTIALS)),
                _left_out(f"services, {OTHERS}", "they need a login"),
            ]
        found = [Check("credentials", True, f"{session.user} in the project {session.project_id}")]
        found += [one async for one in _catalogue(session)]
        if all(one.ok for one in found if one.needed):
            found += await _Parts(session, settings).all()
        else:
            found.append(_left_out(OTHERS, "they need the services above"))
        return found
    finally:
        await session.close()


def _left_out(what: str, why: str) -> Check:
    return Check(what, False, f"not looked at: {why}", needed=False)


def _fix(error: OctaviaError, otherwise: str) -> str:
    """What to do; nothing is tried again by a command that looks once."""
    return error.hint.removesuffix(AGAIN).rstrip("; ") or otherwise


async def _catalogue(session: Session) -> AsyncIterator[Check]:
    for service, kind in SERVICES.items():
        url = await session.endpoint(service)
        needed, fix = (
            service in NEEDED,
            f"openstack catalog list; the cloud needs the service {kind}, and its user may see it",
        )
        what = "" if needed else " (certificates are taken from it)"
        yield Check(f"service {kind}", url is not None, url or f"is not in the catalogue{what}", fix, needed)


class _Parts:
    """Each check is one function; what it raises is its finding."""

    def __init__(self, session: Session, settings: OpenStackSettings) -> None:
        self._session, self._settings = session, settings
        self._neutron, self._nova = Neutron(session, "doctor"), Nova(session, settings, "doctor")
        self._flavor: Json = {}

    async def all(self) -> list[Check]:
        checks: dict[str, Callable[[], Awaitable[Check]]] = {
            "Nova's API": self.microversion, "management network": self.network, "management security groups": self.groups,
            "compute flavor": self.flavor, "amphora image": self.image, "compute zone": self.zone, "heartbeat address": self.heartbeats,
            "quota of Nova": self.compute_quota, "quota of Neutron": self.network_quota,
        }  # fmt: skip
        found = []
        for name, check in checks.items():
            try:
                found.append(await check())
            except OctaviaError as error:
                found.append(Check(name, False, error.message, _fix(error, HOW_TO)))
        return found

    async def microversion(self) -> Check:
        """See ``session.MICROVERSIONS``."""
        there = await self._session.newest_microversion("nova")
        ok = there is not None and _number(there) >= _number(MICROVERSIONS["nova"])
        fix = "Nova 20 (Train) or later"
        return Check("Nova's API", ok, f"microversion {MICROVERSIONS['nova']} is used, up to {there} is there", fix)

    async def network(self) -> Check:
        """It is there, and has a subnet."""
        name, wanted = "management network", self._settings.management_network
        network = await self._neutron.network(wanted)
        subnets = await self._neutron.subnets(network["id"])
        fix = f"openstack subnet create --network {wanted} …"
        detail = (
            f"{network['name']} ({network['id']}), {', '.join(one['cidr'] for one in subnets) or 'without a subnet'}"
        )
        return Check(name, bool(subnets) and network["admin_state_up"], detail, fix)

    async def groups(self) -> Check:
        """They let this machine in to agents."""
        name, ids = "management security groups", self._settings.management_security_groups
        project = self._session.project_id
        asked = [f"/security-groups/{id_}" for id_ in ids]
        groups = [
            (await self._session.get("neutron", path))["security_group"] for path in asked
        ] or await self._session.listed(
            "neutron", "/security-groups", "security_groups", name="default", project_id=project
        )
        lets_in = any(_lets_in(rule) for group in groups for rule in group["security_group_rules"])
        names = ", ".join(one["name"] for one in groups)
        detail = f"{names} {'lets' if len(groups) == 1 else 'let'} {'in' if lets_in else 'nobody in'} to TCP port {AGENT_PORT}"
        fix = f"openstack security group rule create --ingress --protocol tcp --dst-port {AGENT_PORT} --remote-ip THIS-MACHINE GROUP"
        more = "" if ids else ", and name the group: OCTAVIA_OPENSTACK_MANAGEMENT_SECURITY_GROUPS"
        return Check(name, lets_in, detail, fix + more, needed=bool(ids))

    async def flavor(self) -> Check:
        """It is there, and large enough."""
        wanted = self._settings.compute_flavor
        fix = "OCTAVIA_OPENSTACK_COMPUTE_FLAVOR, or compute_flavor in every flavor profile (openstack flavor list)"
        if wanted is None:
            return Check("compute flavor", False, "none is named", fix, needed=False)
        found = await self._session.get("nova", f"/flavors/{await self._nova.flavor(wanted)}")
        self._flavor = found["flavor"]
        ram, disk = self._flavor["ram"], self._flavor["disk"]
        detail = f"{wanted}: {self._flavor['vcpus']} vCPU, {ram} MiB, {disk} GiB"
        return Check("compute flavor", ram >= SMALLEST_RAM, detail, f"one with {SMALLEST_RAM} MiB at least")

    async def image(self) -> Check:
        """It is there, and the flavor's disk takes it."""
        image = await self._nova.image(self._settings.image_tag)
        least = int(image["min_disk"])
        disk = self._settings.volume_gb or self._flavor.get("disk", least)
        digest = image.get("os_hash_value") or image.get("checksum") or "without a checksum"
        detail = f"{image['name']} ({image['id']}) of {image['created_at']}, {image['disk_format']}, {digest[:16]}"
        fits = disk >= least
        problem = "" if fits else f"; it needs a disk of {least} GiB, and has {disk}"
        return Check("amphora image", fits, detail + problem, "another compute flavor, or OCTAVIA_OPENSTACK_VOLUME_GB")

    async def zone(self) -> Check:
        """It is there."""
        wanted = self._settings.compute_zone
        if wanted is None:
            return Check("compute zone", True, "Nova chooses")
        there = (await self._session.get("nova", "/os-availability-zone"))["availabilityZoneInfo"]
        names = [one["zoneName"] for one in there if one["zoneState"]["available"]]
        return Check(
            "compute zone", wanted in names, f"{wanted}; there are {', '.join(names)}", "OCTAVIA_OPENSTACK_COMPUTE_ZONE"
        )

    async def heartbeats(self) -> Check:
        """Their address is an address of this machine, or a port that is forwarded to one."""
        host, _ = self._settings.bind
        detail = f"amphorae send them to {self._settings.heartbeat_address}"
        if self._settings.heartbeat_bind:
            detail += f", this machine hears them at {self._settings.heartbeat_bind}"
        fix = "OCTAVIA_OPENSTACK_HEARTBEAT_ADDRESS: an address of this machine that amphorae reach, or also …_HEARTBEAT_BIND"
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as tried:
                tried.bind((host, 0))
        except OSError as error:
            return Check("heartbeat address", False, f"{detail}; {host}: {error.strerror or error}", fix)
        everywhere = not self._settings.heartbeat_bind and ipaddress.ip_address(host).is_unspecified
        return Check("heartbeat address", not everywhere, detail, fix)

    async def compute_quota(self) -> Check:
        """Room for one pair more."""
        limits = (await self._session.get("nova", "/limits"))["limits"]["absolute"]
        took = {"cores": 3 * self._flavor.get("vcpus", 1), "ram": 3 * self._flavor.get("ram", SMALLEST_RAM), **PAIR}
        names = {
            "instances": ("maxTotalInstances", "totalInstancesUsed"), "cores": ("maxTotalCores", "totalCoresUsed"),
            "ram": ("maxTotalRAMSize", "totalRAMUsed"), "server_groups": ("maxServerGroups", "totalServerGroupsUsed"),
        }  # fmt: skip
        rooms = {name: (limits[most], limits[used]) for name, (most, used) in names.items() if most in limits}
        return _quota("quota of Nova", rooms, took)

    async def network_quota(self) -> Check:
        """Room for one pair more."""
        project = self._session.project_id
        try:
            found = (await self._session.get("neutron", f"/quotas/{project}/details.json"))["quota"]
        except NotFound:
            return Check("quota of Neutron", True, "Neutron does not tell how much is used", needed=False)
        rooms = {name: (found[name]["limit"], found[name]["used"]) for name in PAIR if name in found}
        return _quota("quota of Neutron", rooms, PAIR)


def _quota(name: str, rooms: dict[str, tuple[int, int]], took: dict[str, int]) -> Check:
    """``rooms``: most (-1: any number) and used."""
    full = {
        what: f"{what}: {used} of {most} used, a pair takes up to {took[what]}"
        for what, (most, used) in rooms.items() if 0 <= most < used + took[what]
    }  # fmt: skip
    seen = ", ".join(f"{what} {used}/{'∞' if most < 0 else most}" for what, (most, used) in rooms.items())
    options = " ".join(f"--{OPTIONS[what]} N" for what in full)
    return Check(
        name, not full, "; ".join(full.values()) or seen, f"openstack quota set {options} PROJECT", needed=False
    )


def _lets_in(rule: Json) -> bool:
    """Whether it lets somebody in who is in no security group."""
    if (
        rule["direction"] != "ingress"
        or rule["remote_group_id"] is not None
        or rule["protocol"] not in (None, "tcp", "6")
    ):
        return False
    first, last = rule["port_range_min"], rule["port_range_max"]
    return first is None or first <= AGENT_PORT <= (last or first)


def _number(version: Any) -> tuple[int, ...]:
    return tuple(int(one) for one in str(version).split("."))
