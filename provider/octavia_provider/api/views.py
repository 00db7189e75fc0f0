# SPDX-License-Identifier: Apache-2.0
"""Objects as the API shows them: Octavia's attributes (octavia/api/v2/types), and our additions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from octavia_amphora.wire.messages import Counters
from octavia_provider.controller import certificate_copies
from octavia_provider.model import formats, statuses, tls_container, validity
from octavia_provider.model.kinds import KINDS, reconciled
from octavia_provider.model.l7_policy import DEFAULT_CODE
from octavia_provider.model.listener import METRICS, WITHOUT_POOL, ends_tls
from octavia_provider.model.local import ipv6_subnet_id
from octavia_provider.model.metadata import Attribute, Choice, attributes, inputs
from octavia_provider.ports import Record, Scope, StatusCache, Transaction

from . import representation
from .rules import key

# What Octavia shows and this version does not have: clients read these names, so they are there with the value that
# says "not used".
ABSENT: Mapping[str, Mapping[str, Any]] = {
    "load_balancer": {"vip_vnic_type": "normal"},
    "member": {"vnic_type": "normal"},
}  # fmt: skip
WARNINGS = "certificate_warnings"
# What is shown beside the attributes of the model.
_BESIDE: Mapping[str, tuple[str, ...]] = {
    "load_balancer": ("listeners", "pools"), "listener": ("loadbalancers", "l7policies", WARNINGS),
    "pool": ("loadbalancers", "listeners", "members", "healthmonitor_id", WARNINGS), "l7_policy": ("rules",),
    "health_monitor": ("pools",), "tls_container": (WARNINGS,), "amphora_group": ("loadbalancers",),
}  # fmt: skip
_ID = Attribute(name="id", doc="", annotation=str, nullable=False, format=formats.uuid_string)
_STATUSES = {"provisioning_status": statuses.PROVISIONING, "operating_status": statuses.OPERATING}
_SCHEMES = {"HTTP": "http", "HTTPS": "https", "TERMINATED_HTTPS": "https", "UDP": "udp"}


def shown_names(kind: str) -> dict[str, Attribute | None]:
    """What an object of a kind is shown with, whether there is one or not; with what the model says of it."""
    names: dict[str, Attribute | None] = dict.fromkeys(
        ("id", *_BESIDE.get(kind, ()), *ABSENT.get(kind, ()), "tenant_id")
    )
    declared: type = KINDS[kind]
    names.update((name, attribute) for name, attribute in attributes(declared).items() if not attribute.hidden)
    if KINDS[kind].KEY == "id":
        names["id"] = _ID
    for name, words in _STATUSES.items():
        if attribute := names.get(name):
            names[name] = replace(attribute, choices=tuple(Choice(word, "") for word in words))
    return names


class View:
    """Shows the objects of one transaction; what many objects share is read once.

    ``own``: a load balancer's status is that of its own last write. Otherwise it is PENDING_UPDATE also while anything
    in it is pending, as in Octavia, whose clients wait for what they wrote by asking the load balancer. ``model``: objects
    are shown in the model's form (``form``).
    """

    def __init__(
        self,
        tx: Transaction,
        status_cache: StatusCache,
        control_plane_id: str,
        *,
        own: bool = False,
        model: bool = False,
    ) -> None:
        self._tx = tx
        self.model = model
        self._own = own
        self._status_cache = status_cache
        self._control_plane_id = control_plane_id
        self._scopes: dict[str, Scope] = {}
        self._published: dict[str, str | None] = {}
        self._warnings: dict[str, list[dict[str, Any]]] = {}
        self._now = datetime.now(UTC)

    def foresee(self) -> None:
        """Read all scopes at once: a list is about to be shown."""
        self._scopes = {scope.id: scope for scope in self._tx.scopes()}

    def show(self, record: Record) -> dict[str, Any]:
        """One object."""
        known = inputs(KINDS[record.kind])
        shown = {
            "id": key(record),
            **{n: record.spec.get(n, attribute.default) for n, attribute in known.items() if not attribute.hidden},
            **ABSENT.get(record.kind, {}),
            "project_id": record.project_id,
            "tenant_id": record.project_id,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "provisioning_status": self.provisioning(record),
            "provisioning_error": record.error or self.trouble(record),
            "control_plane_id": self._control_plane_id,
        }
        shown.update(self._more(record))
        return shown if self.model else representation.octavia(record.kind, record.spec, shown)

    def provisioning(self, record: Record) -> str:
        """Its provisioning status."""
        scope = self._scopes.get(record.scope_id) or self._tx.scope(record.scope_id)
        if scope is not None:
            self._scopes[record.scope_id] = scope
        status = statuses.provisioning(
            generation=record.generation,
            applied=scope.applied if scope else 0,
            accepted=record.accepted is not None,
            deleting=record.deleting,
            error=record.error,
        )
        whole = record.kind == "load_balancer" and not self._own
        if whole and status == statuses.ACTIVE and scope is not None and scope.applied < scope.generation:
            return statuses.PENDING_UPDATE
        return status

    def trouble(self, record: Record) -> str | None:
        """What is in the way of a load balancer, a network or a host, and is tried again."""
        return self._status_cache.trouble(record.scope_id) if record.id == record.scope_id else None

    def operating(self, record: Record) -> str:
        """Its operating status."""
        return self._status_cache.operating_status(record)

    def address(self, member: Record) -> str:
        """Where a member is, as it was spelled or as the model has it."""
        respelled = {} if self.model else member.spec.get(representation.SPELLED) or {}
        return str(respelled.get("address", member.spec["address"]))

    def default_pool_id(self, listener: Record) -> str | None:
        """The pool a listener names, else the one that names it."""
        named = listener.spec.get("default_pool_id")
        if named:
            return str(named)
        if listener.spec.get(WITHOUT_POOL):
            return None
        naming = self._tx.find("pool", parent=("listener_id", listener.id))
        return next((pool.id for pool in naming if not pool.deleting), None)

    def listeners_of(self, pool: Record) -> list[Record]:
        """The listeners whose default pool it is, and those that an L7 policy redirects to it."""
        found = {r.id: r for r in self._tx.find("listener", parent=("default_pool_id", pool.id))}
        naming = pool.spec.get("listener_id")
        listener = self._tx.get("listener", naming) if naming else None
        if listener is not None and self.default_pool_id(listener) == pool.id:
            found[listener.id] = listener
        for policy in self._tx.find("l7_policy", parent=("redirect_pool_id", pool.id)):
            redirecting = self._tx.get("listener", policy.spec["listener_id"])
            if redirecting is not None and not policy.deleting:
                found[redirecting.id] = redirecting
        return list(found.values())

    def policies_of(self, listener: Record) -> list[Record]:
        """Its L7 policies, in the order in which they are asked."""
        policies = self._tx.find("l7_policy", parent=("listener_id", listener.id))
        return sorted(policies, key=lambda policy: int(policy.spec["position"]))

    def _l7_policy(self, record: Record) -> dict[str, Any]:
        more: dict[str, Any] = {
            "rules": _named(self._tx.ids("l7_rule", ("l7policy_id", record.id))),
            "asked_position": record.spec.get("asked_position"),
        }
        if record.spec["action"] in ("REDIRECT_TO_URL", "REDIRECT_PREFIX"):
            more["redirect_http_code"] = record.spec["redirect_http_code"] or DEFAULT_CODE
        return more

    def _more(self, record: Record) -> dict[str, Any]:
        if not reconciled(record.kind):
            return {}
        match record.kind:
            case "local_network":
                has_ipv6 = record.spec.get("ipv6_cidr") is not None
                return {"subnet_id": record.id, "ipv6_subnet_id": ipv6_subnet_id(record.id) if has_ipv6 else None}
            case "tls_container":
                source = record.spec.get(certificate_copies.SOURCE)
                return {**tls_container.facts(record.spec), "source": source, WARNINGS: self.warnings(record)}
            case "local_host":
                return {"running": self._status_cache.running(record.id)}
            case "load_balancer":
                more = self._load_balancer(record)
            case "listener":
                more = self._listener(record)
            case "pool":
                more = self._pool(record)
            case "l7_policy":
                more = self._l7_policy(record)
            case "health_monitor" | "amphora_group":
                more = self._users(record)
            case _:
                more = {}
        return {**more, "operating_status": self.operating(record)}

    def _users(self, record: Record) -> dict[str, Any]:
        if record.kind == "health_monitor":
            return {"pools": _named([record.spec["pool_id"]])}
        return {"loadbalancers": _named(self._tx.ids("load_balancer", ("amphora_group_id", record.id)))}

    def _load_balancer(self, record: Record) -> dict[str, Any]:
        parent = ("loadbalancer_id", record.id)
        return {
            "listeners": _named(self._tx.ids("listener", parent)),
            "pools": _named(self._tx.ids("pool", parent)),
            "additional_vips": [{**vip, "port_id": None} for vip in record.spec.get("additional_vips") or ()],
            "published_address": record.spec.get("published_address"),
        }

    def _listener(self, record: Record) -> dict[str, Any]:
        return {
            "loadbalancers": _named([record.scope_id]),
            "default_pool_id": self.default_pool_id(record),
            "l7policies": _named([policy.id for policy in self.policies_of(record)]),
            "url": self._url(record),
            WARNINGS: self.warnings(record),
        }

    def _url(self, listener: Record) -> str | None:
        if listener.scope_id not in self._published:
            balancer = self._tx.get("load_balancer", listener.scope_id)
            self._published[listener.scope_id] = balancer.spec.get("published_address") if balancer else None
        address = self._published[listener.scope_id]
        if address is None:
            return None
        spec = listener.spec
        if spec["protocol"] == METRICS:
            secured = ends_tls(METRICS, spec["default_tls_container_ref"], spec["sni_container_refs"])
            return f"{'https' if secured else 'http'}://{address}:{spec['protocol_port']}/metrics"
        return f"{_SCHEMES.get(spec['protocol'], 'tcp')}://{address}:{spec['protocol_port']}"

    def _pool(self, record: Record) -> dict[str, Any]:
        monitors = self._tx.find("health_monitor", parent=("pool_id", record.id))
        return {
            "loadbalancers": _named([record.scope_id]),
            "listeners": _named([listener.id for listener in self.listeners_of(record)]),
            "members": _named(self._tx.ids("member", ("pool_id", record.id))),
            "healthmonitor_id": next((m.id for m in monitors if not m.deleting), None),
            WARNINGS: self.warnings(record),
        }

    def warnings(self, record: Record) -> list[dict[str, Any]]:
        """What is over of its certificates, not valid yet, or will not be soon; of a listener and a pool: of all that they use."""
        if record.kind == "tls_container":
            return [asdict(warned) for warned in validity.warnings(record.spec, self._now)]
        found: list[dict[str, Any]] = []
        for id_ in _containers_of(record):
            if id_ not in self._warnings:
                container = self._tx.get("tls_container", id_)
                called = f"TLS container {container.spec.get('name') or id_}" if container else ""
                warned = self.warnings(container) if container else []
                self._warnings[id_] = [{**one, "message": f"{called}: {one['message']}"} for one in warned]
            found += self._warnings[id_]
        return found

    def show_nested(self, record: Record) -> dict[str, Any]:
        """A load balancer with all its objects in full, as Octavia answers a single-call create."""
        shown = self.show(record)
        parent = ("loadbalancer_id", record.id)
        shown["listeners"] = [self._whole_listener(r) for r in self._tx.find("listener", parent=parent)]
        shown["pools"] = [self._whole_pool(r) for r in self._tx.find("pool", parent=parent)]
        return shown

    def _whole_listener(self, listener: Record) -> dict[str, Any]:
        policies = []
        for policy in self.policies_of(listener):
            rules = self._tx.find("l7_rule", parent=("l7policy_id", policy.id))
            policies.append({**self.show(policy), "rules": [self.show(rule) for rule in rules]})
        return {**self.show(listener), "l7policies": policies}

    def _whole_pool(self, pool: Record) -> dict[str, Any]:
        parent = ("pool_id", pool.id)
        monitors = self._tx.find("health_monitor", parent=parent)
        members = [self.show(r) for r in self._tx.find("member", parent=parent)]
        return {
            **self.show(pool), "members": members, "healthmonitor": self.show(monitors[0]) if monitors else None,
        }  # fmt: skip


def _containers_of(record: Record) -> list[str]:
    """The ids of the TLS containers that it names."""
    found: dict[str, None] = {}
    for name, attribute in inputs(KINDS[record.kind]).items():
        if attribute.reference == "tls_container" and record.spec.get(name):
            found.update(dict.fromkeys(record.spec[name] if attribute.is_list else [record.spec[name]]))
    return list(found)


def _named(ids: list[str]) -> list[dict[str, str]]:
    return [{"id": id_} for id_ in ids]


def statistics(counters: list[Counters]) -> dict[str, int]:
    """The sum of counters, in Octavia's words."""
    return {
        name: sum(getattr(c, name) for c in counters)
        for name in ("active_connections", "bytes_in", "bytes_out", "request_errors", "total_connections")
    }
