# SPDX-License-Identifier: Apache-2.0
"""What a stock Octavia (``driver: octavia``) lacks of the model, and what it cannot change in place. Pure.

The one table beside the model: everything that is not named here, Octavia takes as the model has it. Checked against Octavia's
own types by tests/openstack/test_octavia_driver.py. Versions are those of its API (octavia/api/root_controller.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .errors import Violation
from .metadata import attributes, inputs
from .naming import camel
from .unknown import Unknown

TAGS = 5
"""The first version whose objects have tags, by which a create is found again: the oldest that is driven."""
ADDITIVE = 11
"""The first version with a batch of members that leaves others alone."""

_EMBEDDED = "it belongs to the embedded cloud: with driver octavia, networks and servers are Neutron's and Nova's"
KINDS: Mapping[str, str] = {
    "tls_container": "Octavia keeps no certificates: put it into Barbican, and give the href of its secret or container",
    "amphora_group": "Octavia gives each load balancer amphorae of its own",
    "local_network": _EMBEDDED,
    "local_host": _EMBEDDED,
}
"""Kinds that Octavia does not have, and why or what to do instead."""
_NOT = "Octavia has no such attribute"
_COOKIE = "Octavia's cookies have no attributes: its haproxy sets them as they are"
LACKING: Mapping[str, Mapping[str, str]] = {
    "load_balancer": {
        "amphora_group_id": KINDS["amphora_group"],
        "max_header_size": "Octavia's amphorae have haproxy's own limit",
    },
    "listener": {"rate_limit": _NOT + "; its connection_limit bounds connections"},
    "pool": {
        "protocol_version": "Octavia speaks HTTP/1.1 to members, and by TLS what they choose of alpn_protocols",
        "session_persistence.cookie_secure": _COOKIE,
        "session_persistence.cookie_http_only": _COOKIE,
        "session_persistence.cookie_same_site": _COOKIE,
    },
    "health_monitor": {"grpc_service": "Octavia has no gRPC monitors"},
    "l7_policy": {"header_changes": "Octavia changes no headers; a listener's insert_headers adds some"},
    "flavor_profile": {"flavor_data.vrrp_advertisement_interval": "Octavia takes it from its own settings"},
}
"""Attributes that Octavia does not have, by kind and path (``.`` within an object or a JSON text)."""
CHOICES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "health_monitor": {"type": {"GRPC": "Octavia has no gRPC monitors; TCP asks whether the port answers"}},
    "l7_policy": {"action": {"CHANGE_HEADERS": "Octavia's L7 policies reject and redirect"}},
    "l7_rule": {
        "type": {
            "METHOD": "Octavia has no rules of the method",
            "SOURCE_IP": "Octavia has no rules of the client's address; a listener's allowed_cidrs says who may come in",
        }
    },
}
"""Values that Octavia does not take."""
SINCE: Mapping[str, Mapping[str, int]] = {
    "load_balancer": {"flavor_id": 6, "availability_zone": 14, "additional_vips": 26, "vip_sg_ids": 29},
    "listener": {
        "client_authentication": 8, "client_ca_tls_container_ref": 8, "client_crl_container_ref": 8, "allowed_cidrs": 12,
        "tls_ciphers": 15, "tls_versions": 17, "alpn_protocols": 20, "hsts_max_age": 27, "hsts_include_subdomains": 27,
        "hsts_preload": 27,
    },
    "pool": {
        "tls_enabled": 8, "tls_container_ref": 8, "ca_tls_container_ref": 8, "crl_container_ref": 8, "tls_ciphers": 15,
        "tls_versions": 18, "alpn_protocols": 24,
    },
    "member": {"request_sriov": 30},
    "health_monitor": {"http_version": 10, "domain_name": 10},
    "l7_policy": {"redirect_http_code": 9},
    "quota": {"l7policy": 19, "l7rule": 19},
    "flavor": {"name": 6}, "flavor_profile": {"name": 6},
    "availability_zone": {"name": 14}, "availability_zone_profile": {"name": 14},
}  # fmt: skip
"""The first version that has an attribute, where older ones are in use (from 5, of 2019, on)."""
CHOICES_SINCE: Mapping[str, Mapping[str, Mapping[str, int]]] = {
    "listener": {"protocol": {"PROMETHEUS": 25}},
    "pool": {"protocol": {"PROXYV2": 22}, "lb_algorithm": {"SOURCE_IP_PORT": 13}},
}
FIXED: Mapping[str, Mapping[str, str]] = {
    "load_balancer": dict.fromkeys(
        ("flavor_id", "additional_vips"), "Octavia sets it when it makes the load balancer, and changes it never"
    ),
    "listener": dict.fromkeys(("protocol", "protocol_port"), "Octavia cannot change what a listener listens for"),
    "pool": {"protocol": "Octavia cannot change what a pool speaks"},
    "member": dict.fromkeys(
        ("address", "protocol_port", "subnet_id", "request_sriov"),
        "to Octavia, a member at another place is another member",
    ),
    "health_monitor": {"type": "Octavia cannot change the sort of a monitor"},
}
"""Attributes that we change in place and Octavia does not: a change makes a new object."""
BARBICAN = "must be the href of a secret or container of Barbican (https://…), where Octavia reads certificates"
RULE_NAME = 240
"""Characters of an L7 rule's name: Octavia gives rules none, so it is kept in a tag."""


def refusals(kind: str, given: Mapping[str, Any], version: int | None = None) -> Iterator[Violation]:
    """What of the inputs (the model's names) Octavia does not take, each with its path; ``version``: of its API (2.``version``)."""
    if kind in KINDS:
        yield Violation((), f"{KINDS[kind]} (driver: octavia)")
        return
    known = inputs(_class(kind))
    for path, why in LACKING.get(kind, {}).items():
        if _at(given, path) not in (
            None,
            known[path].default if path in known else None,
        ):  # SDKs give what the schema has
            yield Violation(_path(path), f"cannot be given with driver octavia: {why}")
    for name, choices in CHOICES.get(kind, {}).items():
        if (why := choices.get(_word(given, name), "")) != "":
            yield Violation((name,), f"{given[name]} cannot be given with driver octavia: {why}")
    if kind == "l7_rule" and len(_word(given, "name")) > RULE_NAME:
        yield Violation(
            ("name",), f"must not be longer than {RULE_NAME} characters with driver octavia, which keeps it in a tag"
        )
    yield from _references(kind, given)
    if version is not None:
        yield from _too_new(kind, given, version)


def asks_version(kind: str, given: Mapping[str, Any]) -> bool:
    """Whether something is given that only newer services have: their version is to be asked for."""
    return kind not in KINDS and any(True for _ in _too_new(kind, given, TAGS))


def takes(kind: str, name: str, version: int) -> bool:
    """Whether a service of this version has an attribute at all. (What it lacks is given with its default alone.)"""
    return name not in LACKING.get(kind, {}) and SINCE.get(kind, {}).get(name, 0) <= version


def fixed(kind: str) -> Collection[str]:
    """The attributes of which a change makes a new object there, beside those of the model."""
    return FIXED.get(kind, {}).keys()


def stands_as_asked(asked: int, position: int, behind: Iterable[int | None]) -> bool:
    """Whether an L7 policy that has this position stands where it was asked to. Octavia counts without gaps, and puts one that asks for
    more behind the last: so it may stand further in front where all ``behind`` it (their asked positions; None: not known) were to be there.
    """
    return position == asked or (position < asked and all(other is not None and other >= asked for other in behind))


def lacking_flavor_data(given: Collection[str], capabilities: Collection[str]) -> Sequence[str]:
    """The keys of a flavor's or zone's data that the service's driver does not know."""
    return sorted(set(given) - set(capabilities))


def _too_new(kind: str, given: Mapping[str, Any], version: int) -> Iterator[Violation]:
    known = attributes(_class(kind))
    for name, since in SINCE.get(kind, {}).items():
        if since > version and given.get(name) is not None and given[name] != known[name].default:
            yield Violation((name,), _since(since, version))
    for name, choices in CHOICES_SINCE.get(kind, {}).items():
        if (since := choices.get(_word(given, name), 0)) > version:
            yield Violation((name,), f"{given[name]} {_since(since, version)}")


def _since(since: int, version: int) -> str:
    return f"needs version 2.{since} of Octavia's API, and the service has 2.{version}"


def _references(kind: str, given: Mapping[str, Any]) -> Iterator[Violation]:
    for name, attr in attributes(_class(kind)).items():
        if attr.reference != "tls_container":
            continue
        items = given.get(name) or ()
        for i, item in enumerate(items if attr.is_list and not isinstance(items, (str, Unknown)) else (items,)):
            if isinstance(item, str) and "://" not in item:
                yield Violation((name, i) if attr.is_list else (name,), BARBICAN)


def _word(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    return value if isinstance(value, str) else ""


def _at(given: Mapping[str, Any], path: str) -> Any:
    name, _, rest = path.partition(".")
    value = given.get(name)
    if rest and isinstance(value, str):
        return _in_json(value, rest)
    return value.get(rest) if rest and isinstance(value, Mapping) else (None if rest else value)


def _in_json(text: str, name: str) -> Any:
    import json

    try:
        found = json.loads(text)
    except ValueError:
        return None  # the model says so
    return found.get(name) if isinstance(found, dict) else None


def _path(path: str) -> tuple[str, ...]:
    name, _, rest = path.partition(".")
    return (name, rest) if rest and name != "flavor_data" else (name,)


def _class(kind: str) -> type:
    from .kinds import KINDS as CLASSES

    return CLASSES[kind]


def rows() -> Iterator[tuple[str, str, str]]:
    """For the reference: kind, property path, reason; kinds first."""
    for kind, why in KINDS.items():
        yield kind, "", why
    for kind, paths in LACKING.items():
        for path, why in paths.items():
            yield kind, ".".join(map(camel, path.split("."))), why
    for kind, names in CHOICES.items():
        for name, choices in names.items():
            for choice, why in choices.items():
                yield kind, f"{camel(name)}: {choice}", why
