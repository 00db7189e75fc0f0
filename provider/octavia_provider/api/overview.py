# SPDX-License-Identifier: Apache-2.0
"""GET /v2/octavia/status: load balancers with all their parts and how they are, in one answer; for operators.

Parts refer to each other by id, so that an object stands there once. A status that no amphora has told since the control plane
started is UNKNOWN here: that is not OFFLINE, which Octavia's API has to say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from octavia_provider.model import statuses
from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import Invalid, Violation
from octavia_provider.model.events import WARNING, EventFilter
from octavia_provider.model.naming import means
from octavia_provider.ports import DRAIN, Amphora, Record, StatusCache, Transaction

from .admin import control_plane_facts, control_planes
from .amphorae import status_of
from .context import CONTEXT
from .errors import answer
from .events import event_view
from .faults import Faults
from .views import WARNINGS, View, statistics

PAGE = 100
"""Load balancers in one answer, when nothing else is asked for."""
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "pool": ("protocol", "lb_algorithm", "session_persistence", "tls_enabled"),
    "member": ("address", "protocol_port", "weight", "backup", "monitor_address", "monitor_port"),
    "health_monitor": (
        "type", "delay", "timeout", "max_retries", "max_retries_down", "http_method", "url_path", "expected_codes",
        "domain_name",
    ),
    "l7_policy": (
        "action", "position", "redirect_pool_id", "redirect_url", "redirect_prefix", "redirect_http_code",
    ),
    "l7_rule": ("type", "compare_type", "key", "value", "invert"),
}  # fmt: skip
_OF_LISTENERS = ("protocol", "protocol_port", "url", "default_pool_id", "allowed_cidrs")
_PARENT = {"member": "pool_id", "health_monitor": "pool_id", "l7_policy": "listener_id", "l7_rule": "l7policy_id"}


async def status(request: web.Request) -> web.Response:
    """``load_balancer``: an id, a name, or a name without the digits that Pulumi has added, of it or of the amphora group that it is on;
    may be repeated.
    ``limit`` (default 100) and ``marker`` (the id of the last one seen) page through them all."""
    context, query = request.app[CONTEXT], request.query
    asked = query.getall("load_balancer", [])
    limit, marker = query.get("limit", str(PAGE)), query.get("marker")
    sound = limit.isdecimal() and len(limit) <= 5 and 0 < int(limit) <= 10_000
    wrong = [] if sound else [Violation(("limit",), f"must be between 1 and 10000, and is {quoted(limit)}")]

    def work(tx: Transaction) -> dict[str, Any]:
        overview, faults = Overview(tx, context.status_cache, context.store.control_plane_id), Faults(wrong)
        with faults.collected():
            page = overview.balancers(asked, marker, int(limit) if sound else PAGE)
        faults.check()
        return page if marker else {**page, **overview.shared(), "control_planes": control_planes(tx)}

    found = await context.store.read(work)
    return answer({"status": {"control_plane": control_plane_facts(context), **found}})


class Overview:
    """Reads one transaction."""

    def __init__(self, tx: Transaction, status_cache: StatusCache, control_plane_id: str) -> None:
        self._tx, self._status_cache = tx, status_cache
        self._view = View(tx, status_cache, control_plane_id)
        self._view.foresee()

    def balancers(self, asked: list[str], marker: str | None, limit: int) -> dict[str, Any]:
        """A page of load balancers; ``missing``: what was asked for and is not there; ``next``: the next marker."""
        every = self._tx.find("load_balancer") if asked else []
        groups = self._tx.find("amphora_group") if asked else []
        missing = [word for word in asked if not any(_meant(word, record) for record in (*every, *groups))]
        on = {group.id for group in groups if any(_meant(word, group) for word in asked)}
        found = {
            record.id: record
            for record in every
            if record.spec.get("amphora_group_id") in on or any(_meant(word, record) for word in asked)
        }
        ids = list(found) if asked else self._tx.ids("load_balancer")
        if marker is not None:
            if marker not in ids:
                raise Invalid([Violation(("marker",), f"there is no load balancer {marker} in this list")])
            ids = ids[ids.index(marker) + 1 :]
        page = [found.get(id_) or self._tx.get("load_balancer", id_) for id_ in ids[:limit]]
        shown = [self._balancer(record) for record in page if record is not None]
        return {"load_balancers": shown, "missing": missing, "next": ids[limit - 1] if len(ids) > limit else None}

    def shared(self) -> dict[str, Any]:
        """What belongs to no load balancer: networks, hosts, TLS containers."""
        networks = [{**self._node(record), "cidr": record.spec["cidr"]} for record in self._tx.find("local_network")]
        hosts = [
            {**self._node(record), "address": record.spec["address"], "network_id": record.spec["network_id"],
             "forward_port": record.spec.get("forward_port"), "running": self._status_cache.running(record.id)}
            for record in self._tx.find("local_host")
        ]  # fmt: skip
        names = ("subject", "subject_alternative_names", "not_before", "not_after", "fingerprint", "source", WARNINGS)
        containers = []
        for record in self._tx.find("tls_container"):
            whole = self._view.show(record)
            containers.append({**self._node(record), **{name: whole.get(name) for name in names}})
        groups = [self._group(record) for record in self._tx.find("amphora_group")]
        return {"networks": networks, "hosts": hosts, "tls_containers": containers, "amphora_groups": groups}

    def _group(self, record: Record) -> dict[str, Any]:
        """With its amphorae, and how many load balancers are on each."""
        amphorae = self._tx.amphorae(record.id)
        on = Counter(seat.host_id for seat in self._tx.seats(host.id for host in amphorae))
        shown = [{**self._amphora(host, None), "load_balancers": on[host.id]} for host in amphorae]
        return {
            **self._node(record, unheard=False),
            **{n: record.spec[n] for n in ("size", "capacity")},
            "amphorae": shown,
        }

    def _balancer(self, record: Record) -> dict[str, Any]:
        parts: dict[str, list[Record]] = defaultdict(list)
        below: dict[str, list[Record]] = defaultdict(list)
        every = self._tx.find(scope_id=record.id)
        for part in every:
            parts[part.kind].append(part)
            if part.kind in _PARENT:
                below[part.spec[_PARENT[part.kind]]].append(part)
        unheard = self._unheard(record)
        listeners = [self._listener(listener, below, unheard=unheard) for listener in parts["listener"]]
        counters = [self._status_cache.statistics(record.id, listener.id) for listener in parts["listener"]]
        node = self._node(record, unheard=unheard)
        wrong = node["operating_status"] == statuses.ERROR or node["provisioning_error"] or any(p.error for p in every)
        return {
            **node,
            "last_warning": self._last_warning(record.id) if wrong else None,
            "admin_state_up": record.spec["admin_state_up"],
            "vip_address": record.spec["vip_address"],
            "additional_vips": [vip["ip_address"] for vip in record.spec.get("additional_vips") or ()],
            "published_address": record.spec.get("published_address"),
            "stats": statistics(counters),
            "amphorae": [self._amphora(amphora, record) for amphora in self._tx.amphorae(record.id)],
            "listeners": listeners,
            "pools": [self._pool(pool, below, unheard=unheard) for pool in parts["pool"]],
        }  # fmt: skip

    def _amphora(self, amphora: Amphora, balancer: Record | None) -> dict[str, Any]:
        return {
            "id": amphora.id, "status": status_of(amphora, balancer), "draining": DRAIN in amphora.requests, "role": amphora.role,
            "certificate_expires": amphora.certificate_expires, "vrrp_state": self._status_cache.vrrp_state(amphora.id),
            "host_id": amphora.host_id,
        }  # fmt: skip

    def _last_warning(self, load_balancer_id: str) -> dict[str, Any] | None:
        wanted = EventFilter(load_balancer_ids=(load_balancer_id,), severity=WARNING)
        return next((event_view(event) for event in self._tx.events(wanted, limit=1, newest=True)), None)

    def _listener(self, record: Record, below: Mapping[str, list[Record]], *, unheard: bool) -> dict[str, Any]:
        whole = self._view.show(record)
        policies = sorted(below.get(record.id, ()), key=lambda policy: int(policy.spec["position"]))
        return {
            **self._node(record, unheard=unheard),
            "admin_state_up": record.spec["admin_state_up"],
            **{name: whole[name] for name in _OF_LISTENERS},
            "stats": statistics([self._status_cache.statistics(record.scope_id, record.id)]),
            "l7policies": [
                {
                    **self._part(policy, unheard=unheard),
                    "rules": [self._part(rule, unheard=unheard) for rule in below.get(policy.id, ())],
                }
                for policy in policies
            ],
        }

    def _pool(self, record: Record, below: Mapping[str, list[Record]], *, unheard: bool) -> dict[str, Any]:
        children = [(part.kind, self._part(part, unheard=unheard)) for part in below.get(record.id, ())]
        return {
            **self._part(record, unheard=unheard),
            "healthmonitor": next((shown for kind, shown in children if kind == "health_monitor"), None),
            "members": [shown for kind, shown in children if kind == "member"],
        }

    def _part(self, record: Record, *, unheard: bool) -> dict[str, Any]:
        shown = {name: record.spec[name] for name in _SHOWN[record.kind] if record.spec.get(name) is not None}
        switch = {"admin_state_up": record.spec["admin_state_up"]} if "admin_state_up" in record.spec else {}
        return {**self._node(record, unheard=unheard), **switch, **shown}

    def _node(self, record: Record, *, unheard: bool | None = None) -> dict[str, Any]:
        """``unheard`` None: it has no operating status."""
        shown: dict[str, Any] = {"id": record.id, "name": record.spec.get("name", "")}
        shown["provisioning_status"] = self._view.provisioning(record)
        if unheard is not None:
            shown["operating_status"] = self._operating(record, unheard=unheard)
        shown["provisioning_error"] = record.error or self._view.trouble(record)
        return shown

    def _operating(self, record: Record, *, unheard: bool) -> str:
        off = record.spec.get("admin_state_up") is False
        return statuses.UNKNOWN if unheard and not off else self._view.operating(record)

    def _unheard(self, balancer: Record) -> bool:
        """An amphora that was heard makes its load balancer ONLINE, DEGRADED or ERROR."""
        switched_on = balancer.spec["admin_state_up"]
        return bool(switched_on) and self._view.operating(balancer) == statuses.OFFLINE


def _meant(word: str, record: Record) -> bool:
    return means(word, record.id, str(record.spec.get("name", "")))
