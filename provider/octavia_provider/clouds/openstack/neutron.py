# SPDX-License-Identifier: Apache-2.0
"""What we ask of Neutron: ports, their networks and subnets, security groups. What is made is looked up by its name first."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from octavia_provider.model.errors import Conflict, NotFound, Refused, TransientError

from . import names
from .session import Json, Session

SERVICE = "neutron"
ALREADY = "already exists"
"""Neutron's words for a rule that is there (``SecurityGroupRuleExists``)."""
KNOWN_SECONDS = 60.0
"""How a network is laid out seldom changes: it is asked for again after so long."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The MTU and the subnets of a network."""

    mtu: int
    subnets: tuple[Json, ...]

    def subnet_of(self, address: str) -> Json | None:
        """The subnet that an address is in."""
        ip = ipaddress.ip_address(address)
        return next((one for one in self.subnets if ip in ipaddress.ip_network(one["cidr"])), None)


class Neutron:
    """Neutron for one control plane: all that it makes has the tag of ``control_plane_id``."""

    def __init__(self, session: Session, control_plane_id: str) -> None:
        self._session, self._ours = session, names.control_plane(control_plane_id)
        self._layouts: dict[str, tuple[float, Layout]] = {}

    async def ours(self, path: str, *tags: str) -> list[Json]:
        """Our ports or security groups (``path``) that have these tags too."""
        wanted = ",".join((self._ours, *tags))
        found = await self._session.listed(SERVICE, f"/{path}", path.replace("-", "_"), tags=wanted)
        return [one for one in found if self._may_be_ours(one)]

    def _may_be_ours(self, one: Json) -> bool:
        """Whether its tags can be believed."""
        return one["project_id"] == self._session.project_id or names.is_vip_port(one)

    async def all_of(self, path: str, load_balancer_id: str) -> list[Json]:
        """All of a load balancer's, also what was made and not tagged yet: its description was made with it; and what has another
        description by now, as its users may give the port of a VIP."""
        tag = names.load_balancer(load_balancer_id)
        found = await asyncio.gather(
            self._session.listed(SERVICE, f"/{path}", path.replace("-", "_"), description=self._described(tag)),
            self.ours(path, tag),
        )
        return list({one["id"]: one for there in found for one in there if self._may_be_ours(one)}.values())

    def _described(self, tag: str) -> str:
        return f"{self._ours} {tag}"

    async def named(self, path: str, name: str) -> Json | None:
        """The one of this name that is ours. Where a call took effect late there are two: the later one goes."""
        found = await self._session.listed(SERVICE, f"/{path}", path.replace("-", "_"), name=name)
        mine = sorted((one for one in found if self._is_ours(one)), key=lambda one: (one["created_at"], one["id"]))
        for other in mine[1:]:
            await self.delete(path, other["id"])
        return mine[0] if mine else None

    def _is_ours(self, one: Json) -> bool:
        """By its tag; or it was made and not tagged yet: Neutron needs two calls for it, also where it says that one will do."""
        return self._ours in (one["tags"] or one["description"].split()) and self._may_be_ours(one)

    async def ensure(self, path: str, name: str, body: Json, tags: Iterable[str], *, subject: str) -> Json:
        """The one of this name, made where there is none. The first of ``tags`` is that of its load balancer."""
        found = await self.named(path, name)
        wanted = [self._ours, *tags]
        if found is None:
            kind = path.replace("-", "_").removesuffix("s")
            made = await self._session.make(
                SERVICE,
                f"/{path}",
                {kind: {**body, "name": name, "description": self._described(wanted[1])}},
                subject=subject,
            )
            found = made[kind]
        if self._ours not in found["tags"]:
            found["tags"] = await self.tag(path, found["id"], wanted)
        return found

    async def tag(self, path: str, id_: str, tags: Sequence[str]) -> list[str]:
        """It has these tags and no others."""
        answer = await self._session.put(SERVICE, f"/{path}/{id_}/tags", {"tags": list(tags)})
        return list(answer["tags"])

    async def delete(self, path: str, id_: str) -> None:
        """It is gone. Neutron refuses while something uses it, which ends by itself."""
        try:
            await self._session.delete(SERVICE, f"/{path}/{id_}")
        except Conflict as error:
            raise TransientError(error.message, subject=error.subject, hint=error.hint) from error

    async def exists(self, path: str, id_: str) -> bool:
        """Whether there is one of this id in a collection."""
        return await self._session.find(SERVICE, f"/{path}/{id_}") is not None

    async def port(self, id_: str) -> Json:
        """A port; ``NotFound``."""
        return dict((await self._session.get(SERVICE, f"/ports/{id_}"))["port"])

    async def update_port(self, id_: str, **values: Any) -> Json:
        """Change a port."""
        return dict((await self._session.put(SERVICE, f"/ports/{id_}", {"port": values}))["port"])

    async def network(self, id_or_name: str) -> Json:
        """A network; ``NotFound``."""
        found = await self._session.find(SERVICE, f"/networks/{id_or_name}")
        if found is not None:
            return dict(found["network"])
        named = await self._session.listed(SERVICE, "/networks", "networks", name=id_or_name)
        # an administrator sees those of all projects, whose users name them as they like
        named = [one for one in named if one["project_id"] == self._session.project_id] or named
        if len(named) != 1:
            there = "there are several of that name" if named else "could not be found"
            raise NotFound(f"network {id_or_name}: {there}", hint="openstack network list; give its id")
        return named[0]

    async def subnet(self, id_: str) -> Json:
        """A subnet; ``NotFound``."""
        return dict((await self._session.get(SERVICE, f"/subnets/{id_}"))["subnet"])

    async def subnets(self, network_id: str) -> list[Json]:
        """The subnets of a network."""
        return await self._session.listed(SERVICE, "/subnets", "subnets", network_id=network_id)

    async def layout(self, network_id: str, addresses: Iterable[str] = ()) -> Layout:
        """How a network is laid out, as it was within the last minute; looked at anew where it has no subnet for one of the addresses."""
        known = self._layouts.get(network_id)
        if known is None or time.monotonic() - known[0] > KNOWN_SECONDS or not all(map(known[1].subnet_of, addresses)):
            network, subnets = await asyncio.gather(self.network(network_id), self.subnets(network_id))
            known = self._layouts[network_id] = (time.monotonic(), Layout(network["mtu"], tuple(subnets)))
        return known[1]

    async def add_rules(self, group_id: str, rules: Sequence[Json], *, subject: str) -> None:
        """Add rules to a security group, in one call; existing ones are left unchanged."""
        whole = [{"security_group_id": group_id, "direction": "ingress", **rule} for rule in rules]
        try:
            await self._session.make(SERVICE, "/security-group-rules", {"security_group_rules": whole}, subject=subject)
        except (Conflict, Refused) as error:
            if len(rules) > 1:  # Neutron refuses all where one exists, and where the quota has no room for all
                for rule in rules:
                    await self.add_rules(group_id, [rule], subject=subject)
            elif ALREADY not in error.message:
                raise

    async def remove_rule(self, id_: str) -> None:
        """The rule is gone."""
        await self._session.delete(SERVICE, f"/security-group-rules/{id_}")


def first_address(port: Json) -> str:
    """That of a port by which it is reached: of IPv4 where it has one. Neutron has them in no order of use, and adds one of IPv6 in each subnet
    whose addresses hosts choose by themselves (SLAAC)."""
    return min((str(one["ip_address"]) for one in port["fixed_ips"]), key=lambda one: (":" in one, one))


def address_in(port: Json, subnet_id: str) -> str | None:
    """The address that a port has in a subnet."""
    return next((one["ip_address"] for one in port["fixed_ips"] if one["subnet_id"] == subnet_id), None)
