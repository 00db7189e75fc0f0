# SPDX-License-Identifier: Apache-2.0
"""What a change does to the traffic: for each kind when it is made, replaced or deleted, for each input when it changes.

One table for previews of both engines and for the reference. What an input's change costs in itself (a reload, a word to
haproxy) is the input's ``cost``; here stands what clients notice beyond that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from .kinds import KINDS
from .metadata import Attribute, inputs
from .unknown import contains_unknown


class Severity(IntEnum):
    """How bad it is, the worst last."""

    NONE = 0
    """No request notices."""
    RELOAD = 1
    """haproxy reloads; no request is lost."""
    OTHERWISE = 2
    """Requests are answered otherwise: by another member, with another certificate, with an error page."""
    ENDS = 3
    """Connections end, or clients that were served are refused."""
    GONE = 4
    """An address or a port that clients use is there no longer."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does, in a sentence without an end."""

    severity: Severity
    text: str


Change = Callable[[Any, Any], Effect]
"""The effect of a change in place, from the old and the new value (each may be unknown or None)."""

NONE, RELOAD, OTHERWISE, ENDS, GONE = Severity
TOLD = "OCTAVIA_EFFECTS_TOLD"
"""The environment variable by which an engine says to the plugin that it tells of effects itself, of deletions too."""
NOTHING = Effect(NONE, "none")
NEW = Effect(NONE, "none: it is part of what is new")
UNUSED = Effect(NONE, "none: what uses it keeps it from being deleted")


@dataclass(frozen=True, slots=True)
class Life:
    """The effects of the beginning, the replacement and the end of an object of one kind."""

    create: Effect
    replace: Effect
    delete: Effect


LIVES: Mapping[str, Life] = {
    "load_balancer": Life(
        create=Effect(NONE, "none: nobody is sent to its VIP yet"),
        replace=Effect(
            GONE,
            "another load balancer takes its place, with another VIP unless one is named: all connections end, and clients "
            "and DNS must be led to the new address",
        ),
        delete=Effect(GONE, "its VIP is gone: all connections end, and DNS names that lead to it lead nowhere"),
    ),
    "listener": Life(
        create=Effect(RELOAD, "a port is opened by a seamless reload of haproxy; no request is lost"),
        replace=Effect(GONE, "its port is closed, and one is opened by a new listener: whoever comes to the old one is refused"),
        delete=Effect(GONE, "its port is closed: new connections are refused, open ones may finish"),
    ),
    "pool": Life(
        create=Effect(OTHERWISE, "a listener that it names sends its traffic there: 503 until the pool has members"),
        replace=Effect(ENDS, "members, their health and the stickiness of clients begin anew: 503 until it has members"),
        delete=Effect(ENDS, "listeners and L7 policies that send to it answer 503; connections to its members end"),
    ),
    "member": Life(
        create=Effect(OTHERWISE, "it gets its share of new connections; told to haproxy at run time, connections live on"),
        replace=Effect(ENDS, "its connections end, and clients that stick to it get another member"),
        delete=Effect(
            ENDS, "no new connections go to it; requests have a second to be answered, then its connections end"
        ),
    ),
    "health_monitor": Life(
        create=Effect(OTHERWISE, "members that fail its checks get no traffic any more"),
        replace=Effect(OTHERWISE, "all members are checked anew"),
        delete=Effect(OTHERWISE, "members are not checked any more: those that are down get traffic again"),
    ),
    "l7_policy": Life(
        create=Effect(OTHERWISE, "requests that match all its rules are treated as it says (without rules, none does)"),
        replace=Effect(OTHERWISE, "until the new one has its rules, its requests go to the next policy or the default pool"),
        delete=Effect(OTHERWISE, "requests that it decided on go to the next policy, or to the default pool"),
    ),
    "l7_rule": Life(
        create=Effect(OTHERWISE, "its policy decides on fewer requests; the first rule puts a policy into force"),
        replace=Effect(OTHERWISE, "its policy decides on other requests"),
        delete=Effect(OTHERWISE, "its policy decides on more requests; without its last rule, on none"),
    ),
    "tls_container": Life(create=NOTHING, replace=NOTHING, delete=UNUSED),
    "amphora_group": Life(create=NOTHING, replace=NOTHING, delete=UNUSED),
    "local_network": Life(
        create=NOTHING, replace=Effect(GONE, "all that stands in it is made anew"), delete=UNUSED,
    ),
    "local_host": Life(
        create=NOTHING,
        replace=Effect(ENDS, "its server is started anew at another address; connections to the old one end"),
        delete=Effect(ENDS, "its server ends: members at its address fail"),
    ),
    "flavor_profile": Life(create=NOTHING, replace=NOTHING, delete=UNUSED),
    "flavor": Life(create=NOTHING, replace=NOTHING, delete=UNUSED),
    "availability_zone_profile": Life(create=NOTHING, replace=NOTHING, delete=UNUSED),
    "availability_zone": Life(create=NOTHING, replace=NOTHING, delete=UNUSED),
    "quota": Life(create=NOTHING, replace=NOTHING, delete=NOTHING),
}  # fmt: skip


def _always(severity: Severity, text: str) -> Change:
    return lambda _old, _new: Effect(severity, text)


def _switch(off: Effect, on: Effect) -> Change:
    """Of ``admin_state_up``: absent is on; what is unknown may be off."""
    return lambda _old, new: on if new is None or new is True else off


def _weight(_old: Any, new: Any) -> Effect:
    if new == 0:
        return Effect(ENDS, "it drains: no new connections go to it")
    return Effect(OTHERWISE, "its share of new connections is another one")


def _allowed(_old: Any, new: Any) -> Effect:
    if not new:
        return Effect(OTHERWISE, "everybody is let in")
    return Effect(ENDS, "clients outside of these networks are cut off")


def _authentication(_old: Any, new: Any) -> Effect:
    if new in (None, "NONE"):
        return Effect(OTHERWISE, "clients are let in without a certificate")
    return Effect(ENDS, "new connections of clients whose certificate does not verify are refused")


_BACK = Effect(OTHERWISE, "it is in service again")
_BACK_OPEN = Effect(RELOAD, "its port is opened")
_ANOTHER_CERTIFICATE = "new handshakes are answered with another certificate; open connections keep theirs"
_OTHER_TERMS = "clients (or members) that cannot agree to the new terms of TLS fail from now on"
_OTHER_REQUESTS = "other requests match than before, or are treated otherwise"
_OTHER_CHECKS = "members are judged by other checks, which may take some out of service"

CHANGES: Mapping[str, Change] = {
    "load_balancer.admin_state_up": _switch(Effect(GONE, "none of its listeners takes connections any more"), _BACK),
    "load_balancer.additional_vips": _always(ENDS, "an address that is taken away answers no longer"),
    "load_balancer.vip_sg_ids": _always(ENDS, "clients that these groups keep out are cut off"),
    "listener.admin_state_up": _switch(Effect(GONE, "its port is closed: new connections are refused"), _BACK_OPEN),
    "listener.protocol": _always(ENDS, "clients that speak what was spoken before fail"),
    "listener.protocol_port": _always(GONE, "clients must come by the new port"),
    "listener.connection_limit": _always(OTHERWISE, "connections beyond the limit wait"),
    "listener.allowed_cidrs": _allowed,
    "listener.default_pool_id": _always(OTHERWISE, "requests go to the members of another pool, or find none (503)"),
    "listener.insert_headers": _always(OTHERWISE, "members see other headers"),
    "listener.rate_limit": _always(OTHERWISE, "requests beyond the limit are answered with 429"),
    "listener.default_tls_container_ref": _always(OTHERWISE, _ANOTHER_CERTIFICATE),
    "listener.sni_container_refs": _always(OTHERWISE, _ANOTHER_CERTIFICATE),
    "listener.client_authentication": _authentication,
    "listener.client_ca_tls_container_ref": _always(ENDS, "clients are verified by other authorities"),
    "listener.client_crl_container_ref": _always(ENDS, "clients whose certificate is revoked are refused"),
    "listener.tls_ciphers": _always(ENDS, _OTHER_TERMS),
    "listener.tls_versions": _always(ENDS, _OTHER_TERMS),
    "listener.alpn_protocols": _always(OTHERWISE, "new connections may speak another version of HTTP"),
    "listener.hsts_max_age": _always(OTHERWISE, "browsers keep what they were told, for as long as it said"),
    "pool.admin_state_up": _switch(Effect(ENDS, "what is sent to it is answered with 503"), _BACK),
    "pool.protocol": _always(ENDS, "members that speak what was spoken before fail"),
    "pool.lb_algorithm": _always(OTHERWISE, "new connections are spread otherwise"),
    "pool.session_persistence": _always(OTHERWISE, "clients may come to another member"),
    "pool.tls_enabled": _always(ENDS, "members that do not speak what is asked of them now fail"),
    "pool.tls_container_ref": _always(OTHERWISE, "members are shown another certificate"),
    "pool.ca_tls_container_ref": _always(ENDS, "members whose certificate does not verify fail"),
    "pool.crl_container_ref": _always(ENDS, "members whose certificate is revoked fail"),
    "pool.tls_ciphers": _always(ENDS, _OTHER_TERMS),
    "pool.tls_versions": _always(ENDS, _OTHER_TERMS),
    "pool.alpn_protocols": _always(OTHERWISE, "new connections to members may speak another version of HTTP"),
    "member.admin_state_up": _switch(Effect(ENDS, "no new connections go to it"), _BACK),
    "member.address": _always(OTHERWISE, "new connections go to another server"),
    "member.protocol_port": _always(OTHERWISE, "new connections go to another port"),
    "member.weight": _weight,
    "member.backup": _always(OTHERWISE, "a backup member gets traffic only where no other is up"),
    "member.monitor_address": _always(OTHERWISE, _OTHER_CHECKS),
    "member.monitor_port": _always(OTHERWISE, _OTHER_CHECKS),
    "health_monitor.admin_state_up": _switch(
        Effect(OTHERWISE, "members are not checked any more: those that are down get traffic again"), _BACK
    ),
    "l7_policy.admin_state_up": _switch(Effect(OTHERWISE, "it decides on no request any more"), _BACK),
    "l7_rule.admin_state_up": _switch(Effect(OTHERWISE, "its policy decides without this condition"), _BACK),
    "l7_rule.invert": _always(OTHERWISE, "its policy decides on the very requests that it left alone"),
    "tls_container.certificate": _always(OTHERWISE, _ANOTHER_CERTIFICATE),
    "tls_container.private_key": _always(OTHERWISE, "new handshakes are made with another key"),
    "tls_container.intermediates": _always(OTHERWISE, "new handshakes show another chain"),
    "tls_container.ca_certificates": _always(ENDS, "whoever these authorities have not signed for is refused"),
    "tls_container.crl": _always(ENDS, "whoever is revoked is refused"),
    "local_host.command": _always(ENDS, "its connections end"),
    "local_host.environment": _always(ENDS, "its connections end"),
    "local_host.user": _always(ENDS, "its connections end"),
    "local_host.forward_port": _always(ENDS, "its connections end"),
}
_REST: Mapping[str, Change] = {
    "health_monitor": _always(OTHERWISE, _OTHER_CHECKS),
    "l7_policy": _always(OTHERWISE, _OTHER_REQUESTS),
    "l7_rule": _always(OTHERWISE, _OTHER_REQUESTS),
}
"""Kinds whose inputs all decide on requests, but for those that say nothing of traffic (``SILENT``)."""
SILENT = frozenset({"name", "description", "tags", "enabled"})


def of_create(kind: str, values: Mapping[str, Any]) -> Effect:
    """Of making an object with these inputs. What belongs to something that is made in the same run is no change."""
    parents = [name for name, attr in inputs(KINDS[kind]).items() if attr.reference and attr.replaces]
    if any(contains_unknown(values.get(name)) for name in parents):
        return NEW
    if kind == "pool" and values.get("listener_id") is None:
        return Effect(NONE, "none: nothing sends to it yet")
    if values.get("admin_state_up") is False:
        return Effect(NONE, "none: it is switched off")
    return LIVES[kind].create


def of_replace(kind: str) -> Effect:
    """Of making an object anew in the place of an old one."""
    return LIVES[kind].replace


def of_delete(kind: str) -> Effect:
    """Of deleting an object."""
    return LIVES[kind].delete


def of_change(kind: str, attr: Attribute, old: Any, new: Any) -> Effect:
    """Of changing one input in place: what clients notice, and what it costs in itself."""
    change = CHANGES.get(f"{kind}.{attr.name}") or (None if attr.name in SILENT else _REST.get(kind))
    cost = attr.cost.removeprefix("none: ")
    if change is None:
        reloads = attr.cost and not attr.cost.startswith("none")
        return Effect(RELOAD if reloads else NONE, attr.cost or NOTHING.text)
    effect = change(old, new)
    return Effect(effect.severity, f"{effect.text}; {cost}" if cost and cost != "none" else effect.text)


def worst_first(effects: Iterable[tuple[str, Effect]]) -> list[tuple[str, Effect]]:
    """Named effects, the worst first; those that are alike stay in their order."""
    return sorted(effects, key=lambda named: -named[1].severity)
