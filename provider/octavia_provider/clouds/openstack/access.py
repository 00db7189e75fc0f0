# SPDX-License-Identifier: Apache-2.0
"""Who may come in to listeners: rules of the load balancer's security group, and what else Neutron applies at its ports."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.model.errors import NotFound, OctaviaError, Refused, TransientError
from octavia_provider.model.listener import Listener, transport
from octavia_provider.model.load_balancer import LoadBalancer
from octavia_provider.ports import CloudStep, Instance, Inventory, MemberSubnets, no_subnets

from . import names
from .amphora_ports import AmphoraPorts
from .neutron import Neutron
from .nova import Nova
from .session import Json

EVERYWHERE = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """Who may come in to a listener: its description says to which."""

    listener_id: str
    protocol: str
    port: int
    cidr: str

    def body(self) -> Json:
        """As Neutron takes it."""
        return {
            "ethertype": "IPv6" if ":" in self.cidr else "IPv4", "protocol": self.protocol, "port_range_min": self.port,
            "port_range_max": self.port, "remote_ip_prefix": self.cidr, "description": f"listener {self.listener_id}",
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class AtPort:
    """What Neutron applies at a port, and where it is. ``amphora``: whose it is; None: it is that of a VIP. ``for_members``: it is there
    for members alone."""

    id: str
    security_groups: tuple[str, ...]
    qos_policy_id: str | None
    amphora: str | None = None
    subnets: tuple[str, ...] = ()
    for_members: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of a load balancer. ``rules``: with their ids in Neutron."""

    load_balancer_id: str
    group_id: str | None = None
    rules: Mapping[Rule, str] = field(default_factory=dict)
    ports: tuple[AtPort, ...] = ()


@dataclass(frozen=True, slots=True)
class Open(CloudStep):
    """Let clients in to a listener."""

    load_balancer_id: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Close(CloudStep):
    """Let clients in no more."""

    rule_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Apply(CloudStep):
    """Other security groups, or another QoS policy, at a port."""

    port_id: str = ""
    values: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Plug(CloudStep):
    """An amphora has an interface in the subnet of members, while it runs."""

    load_balancer_id: str = ""
    amphora_id: str = ""
    subnet_id: str = ""
    host_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unplug(CloudStep):
    """It needs that interface no more."""

    server_of: str = ""
    port_id: str = ""


class SecurityGroups:
    """``ports.ListenerAccess``: a security group for each load balancer, and interfaces where its members are."""

    def __init__(self, neutron: Neutron, amphora_ports: AmphoraPorts, nova: Nova) -> None:
        self._neutron, self._amphora_ports, self._nova = neutron, amphora_ports, nova
        self._vips: dict[str, frozenset[str]] = {}
        self._lost: set[str] = set()

    async def observe(self, load_balancer_id: str) -> Sequence[Seen]:
        """Its security group with the rules, and its ports but those of management."""
        tag = names.load_balancer(load_balancer_id)
        groups, ports = await asyncio.gather(
            self._neutron.named("security-groups", names.security_group(load_balancer_id)),
            self._amphora_ports.of(tag),
        )
        seen = tuple(_at_port(one) for one in ports if names.tagged(one["tags"], "octavia-port") != names.MANAGEMENT)
        vips = frozenset(port.id for port in seen if port.amphora is None)
        if self._vips.get(load_balancer_id, vips) - vips:
            self._lost.add(load_balancer_id)  # told once, by ``missing``: it may have been given back
        self._vips[load_balancer_id] = vips
        if not vips:
            del self._vips[load_balancer_id]
        if groups is None and not seen:
            self._lost.discard(load_balancer_id)  # all of it is gone, as it should be
        if groups is None:
            return [Seen(load_balancer_id, ports=seen)] if seen else []
        rules = {rule: id_ for one in groups["security_group_rules"] if (rule := _rule(one)) for id_ in [one["id"]]}
        return [Seen(load_balancer_id, groups["id"], rules, seen)]

    def plan(
        self, load_balancer: LoadBalancer | None, listeners: Collection[Listener], instances: Sequence[Instance],
        observed: Sequence[Seen], member_subnets: MemberSubnets = no_subnets,
    ) -> tuple[CloudStep, ...]:  # fmt: skip
        """What is not wanted is closed first; what is wanted is opened when the listener answers."""
        seen = observed[0] if observed else Seen("")
        wanted = set(_wanted(load_balancer, listeners)) if instances else set()
        surplus = sorted(seen.rules.keys() - wanted)
        subnets = set(member_subnets()) if load_balancer and instances else set[str]()
        return (
            *(
                Close(id_, f"shut clients out of listener {id_}", before=True,
                      rule_ids=tuple(seen.rules[rule] for rule in surplus if rule.listener_id == id_))
                for id_ in dict.fromkeys(rule.listener_id for rule in surplus)
            ),
            *(_pluggings(load_balancer, subnets, instances, seen) if load_balancer else ()),
            *_openings(load_balancer, sorted(wanted - seen.rules.keys())),
            *(_applications(load_balancer, seen) if load_balancer and seen.group_id and instances else ()),
        )  # fmt: skip

    async def carry_out(self, step: CloudStep) -> None:
        """Add or remove rules, change a port. ``Refused`` where Neutron says no."""
        match step:
            case Close(rule_ids=rule_ids):
                for id_ in rule_ids:
                    await self._neutron.remove_rule(id_)
            case Open(load_balancer_id=load_balancer_id, rules=rules):
                group = await self._amphora_ports.group(load_balancer_id)
                bodies = [rule.body() for rule in rules]
                await self._refusing(self._neutron.add_rules(group["id"], bodies, subject=step.words), step)
            case Plug():
                await self._plug(step)
            case Unplug(server_of=server_of, port_id=port_id):
                server = await self._nova.server_of(server_of)
                if server is not None:
                    await self._nova.unplug(server["id"], port_id)
                await self._neutron.delete("ports", port_id)
            case Apply(port_id=port_id, values=values):
                await self._refusing(self._neutron.update_port(port_id, **dict(values)), step)

    async def _plug(self, step: Plug) -> None:
        subnet_id, subject = (
            step.subnet_id,
            f"amphora {step.amphora_id}, its interface in subnet {step.subnet_id} of members",
        )
        server = await self._nova.server_of(step.host_id or step.amphora_id)
        if server is None:
            return  # its loss is found otherwise
        try:
            network_id = (await self._neutron.subnet(subnet_id))["network_id"]
        except NotFound as error:
            raise Refused(error.message, subject=subject, hint="openstack subnet list; change the members") from error
        port = await self._amphora_ports.ensure(
            step.load_balancer_id, step.amphora_id, network_id, [subnet_id], role=names.MEMBERS, host_id=step.host_id
        )
        if port["device_id"] != server["id"]:
            await self._nova.plug(server["id"], port["id"], subject=subject)

    async def _refusing(self, work: Any, step: CloudStep) -> None:
        """What Neutron will not do is the error of that object, and holds up no other."""
        try:
            await work
        except (TransientError, Refused):
            raise
        except OctaviaError as error:
            raise Refused(error.message, subject=step.words, hint=error.hint) from error

    def missing(self, observed: Sequence[Seen], inventory: Inventory) -> bool:
        """Whether one of its ports is gone. Rules are in no inventory: nobody but us may change that group."""
        ids = {seen.load_balancer_id for seen in observed}
        lost, self._lost = self._lost & ids, self._lost - ids
        return bool(lost) or any(
            not {port.id for port in seen.ports} <= inventory.parts("load_balancer", seen.load_balancer_id)
            for seen in observed
        )


def _wanted(load_balancer: LoadBalancer | None, listeners: Collection[Listener]) -> Iterator[Rule]:
    """Of listeners that are switched on. Security groups that were given say who may come in, where there are any."""
    if load_balancer is None or load_balancer.vip_sg_ids:
        return
    for listener in listeners:
        if listener.admin_state_up:
            protocol = transport(listener.protocol)
            for cidr in listener.allowed_cidrs or EVERYWHERE:
                yield Rule(listener.id, protocol, listener.protocol_port, cidr)


def _openings(load_balancer: LoadBalancer | None, lacking: Sequence[Rule]) -> Iterator[Open]:
    for id_ in dict.fromkeys(rule.listener_id for rule in lacking):
        assert load_balancer is not None  # noqa: S101 - nothing is wanted without one
        rules = tuple(rule for rule in lacking if rule.listener_id == id_)
        yield Open(id_, f"let clients in to listener {id_}", load_balancer_id=load_balancer.id, rules=rules)


def _pluggings(
    load_balancer: LoadBalancer, wanted: Collection[str], instances: Sequence[Instance], seen: Seen
) -> Iterator[CloudStep]:
    """Interfaces come before the members that need them, and go after them."""
    for instance in (one for one in instances if one.alive):
        amphora_id, ports = instance.amphora_id, [port for port in seen.ports if port.amphora == instance.amphora_id]
        for id_ in sorted(set(wanted) - {subnet for port in ports for subnet in port.subnets}):
            words = f"give amphora {amphora_id} an interface in subnet {id_}"
            yield Plug(
                load_balancer.id, words, before=True, replugs=True, load_balancer_id=load_balancer.id,
                amphora_id=amphora_id, subnet_id=id_, host_id=instance.host,
            )  # fmt: skip
        for port in ports:
            if port.for_members and not set(wanted) & set(port.subnets):
                words = f"take port {port.id} from amphora {amphora_id}"
                server_of = instance.host or amphora_id
                yield Unplug(load_balancer.id, words, replugs=True, server_of=server_of, port_id=port.id)


def _applications(load_balancer: LoadBalancer, seen: Seen) -> Iterator[Apply]:
    """The ports of amphorae are in the load balancer's group, and in those that were given; the QoS policy is at all of its ports."""
    for port in (one for one in seen.ports if not one.for_members):
        values: dict[str, Any] = {}
        wanted = {seen.group_id, *load_balancer.vip_sg_ids}
        if port.amphora and set(port.security_groups) != wanted:
            values["security_groups"] = sorted(map(str, wanted))
        if port.qos_policy_id != load_balancer.vip_qos_policy_id:
            values["qos_policy_id"] = load_balancer.vip_qos_policy_id
        if values:
            words = f"apply {' and '.join(values)} at port {port.id}"
            yield Apply(load_balancer.id, words, port_id=port.id, values=tuple(values.items()))


def _at_port(port: Json) -> AtPort:
    return AtPort(
        port["id"], tuple(port["security_groups"]), port.get("qos_policy_id"), names.tagged(port["tags"], "octavia-amphora"),
        subnets=tuple(one["subnet_id"] for one in port["fixed_ips"]) if port["device_id"] else (),
        for_members=names.tagged(port["tags"], "octavia-port") == names.MEMBERS,
    )  # fmt: skip


def _rule(rule: Json) -> Rule | None:
    """A rule of ours, by its description."""
    what, _, listener_id = (rule["description"] or "").partition(" ")
    if what != "listener" or rule["direction"] != "ingress":
        return None
    cidr = rule["remote_ip_prefix"] or EVERYWHERE[rule["ethertype"] == "IPv6"]
    return Rule(listener_id, rule["protocol"], rule["port_range_min"], cidr)
