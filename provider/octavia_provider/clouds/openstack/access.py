# SPDX-License-Identifier: Apache-2.0
"""Who may come in to listeners: rules of the load balancer's security group, and what else Neutron applies at its ports."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.model.errors import OctaviaError, Refused, TransientError
from octavia_provider.model.listener import Listener, transport
from octavia_provider.model.load_balancer import LoadBalancer
from octavia_provider.ports import CloudStep, Instance, Inventory

from . import names
from .amphora_ports import AmphoraPorts
from .neutron import Neutron
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
    """What Neutron applies at a port. ``amphora``: it is one of an amphora, else that of a VIP."""

    id: str
    security_groups: tuple[str, ...]
    qos_policy_id: str | None
    amphora: bool


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


class SecurityGroups:
    """``ports.ListenerAccess``: a security group for each load balancer."""

    def __init__(self, neutron: Neutron, amphora_ports: AmphoraPorts) -> None:
        self._neutron, self._amphora_ports = neutron, amphora_ports

    async def observe(self, load_balancer_id: str) -> Sequence[Seen]:
        """Its security group with the rules, and its ports but those of management."""
        tag = names.load_balancer(load_balancer_id)
        groups, ports = await asyncio.gather(
            self._neutron.named("security-groups", names.security_group(load_balancer_id)),
            self._amphora_ports.of(tag),
        )
        seen = tuple(_at_port(one) for one in ports if names.tagged(one["tags"], "octavia-port") != "management")
        if groups is None:
            return [Seen(load_balancer_id, ports=seen)] if seen else []
        rules = {rule: id_ for one in groups["security_group_rules"] if (rule := _rule(one)) for id_ in [one["id"]]}
        return [Seen(load_balancer_id, groups["id"], rules, seen)]

    def plan(
        self, load_balancer: LoadBalancer | None, listeners: Collection[Listener], instances: Sequence[Instance],
        observed: Sequence[Seen],
    ) -> tuple[CloudStep, ...]:  # fmt: skip
        """What is not wanted is closed first; what is wanted is opened when the listener answers."""
        seen = observed[0] if observed else Seen("")
        wanted = set(_wanted(load_balancer, listeners)) if instances else set()
        surplus = sorted(seen.rules.keys() - wanted)
        return (
            *(
                Close(id_, f"shut clients out of listener {id_}", before=True,
                      rule_ids=tuple(seen.rules[rule] for rule in surplus if rule.listener_id == id_))
                for id_ in dict.fromkeys(rule.listener_id for rule in surplus)
            ),
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
                for rule in rules:
                    await self._refusing(self._neutron.add_rule(group["id"], rule.body(), subject=step.words), step)
            case Apply(port_id=port_id, values=values):
                await self._refusing(self._neutron.update_port(port_id, **dict(values)), step)

    async def _refusing(self, work: Any, step: CloudStep) -> None:
        """What Neutron will not do is the error of that object, and holds up no other."""
        try:
            await work
        except (TransientError, Refused):
            raise
        except OctaviaError as error:
            raise Refused(error.message, subject=step.words, hint=error.hint) from error

    def missing(self, observed: Sequence[Seen], inventory: Inventory) -> bool:
        """Whether all of its ports are gone. Rules are in no inventory: nobody but us may change that group."""
        return any(seen.ports and not inventory.has("load_balancer", seen.load_balancer_id) for seen in observed)


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


def _applications(load_balancer: LoadBalancer, seen: Seen) -> Iterator[Apply]:
    """The ports of amphorae are in the load balancer's group, and in those that were given; the QoS policy is at all of its ports."""
    for port in seen.ports:
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
    amphora = names.tagged(port["tags"], "octavia-amphora") is not None
    return AtPort(port["id"], tuple(port["security_groups"]), port.get("qos_policy_id"), amphora)


def _rule(rule: Json) -> Rule | None:
    """A rule of ours, by its description."""
    what, _, listener_id = (rule["description"] or "").partition(" ")
    if what != "listener" or rule["direction"] != "ingress":
        return None
    cidr = rule["remote_ip_prefix"] or EVERYWHERE[rule["ethertype"] == "IPv6"]
    return Rule(listener_id, rule["protocol"], rule["port_range_min"], cidr)
