# SPDX-License-Identifier: Apache-2.0
"""Amphorae as they are shown (octavia/api/v2/controllers/amphora.py); what is done to them: ``operations``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from octavia_provider.controller import pairs
from octavia_provider.model import statuses
from octavia_provider.model.errors import NotFound
from octavia_provider.planner.group import HOST
from octavia_provider.ports import CERTIFICATE, DRAIN, Amphora, Record, StatusCache, Transaction

from . import list_query
from .authorization import seen
from .context import CONTEXT
from .errors import answer
from .requests import path_id
from .views import statistics as summed

Shown = dict[str, Any]
FIRST_GROUP = 1
"""``vrrp_id`` of an amphora that is alone, which is in no VRRP group: Octavia numbers it so."""
BOOTING = "BOOTING"
_NONE = dict.fromkeys(
    ("vrrp_port_id", "ha_port_id", "vrrp_interface", "vrrp_priority", "image_id", "compute_flavor")
)  # there are no ports and no compute flavors, images not in every cloud; an agent finds the interface itself
_NAMES = (
    "id", "loadbalancer_id", "compute_id", "lb_network_ip", "vrrp_ip", "ha_ip", "vrrp_id", "cert_expiration", "cert_busy",
    "role", "status", "cached_zone", "created_at", "updated_at", "agent_version", "draining", "vrrp_state", "host_id",
    "amphora_group_id", *_NONE,
)  # fmt: skip


async def amphorae(request: web.Request) -> web.Response:
    """GET /v2/octavia/amphorae."""
    context = request.app[CONTEXT]
    found = await context.store.read(lambda tx: [_show(tx, amphora, context.status_cache) for amphora in tx.amphorae()])
    return answer(list_query.page(found, "amphorae", seen(request), dict.fromkeys(_NAMES)))


async def show(request: web.Request) -> web.Response:
    """GET /v2/octavia/amphorae/{id}."""
    context, id_ = request.app[CONTEXT], path_id(request)
    shown = await context.store.read(lambda tx: _show(tx, existing(tx, id_), context.status_cache))
    return answer({"amphora": list_query.select(shown, request.query)})


async def statistics(request: web.Request) -> web.Response:
    """GET …/amphorae/{id}/stats: of each listener."""
    context, id_ = request.app[CONTEXT], path_id(request)

    def work(tx: Transaction) -> tuple[str, list[str]]:
        balancer_id = existing(tx, id_).load_balancer_id
        return balancer_id, tx.ids("listener", ("loadbalancer_id", balancer_id))

    balancer_id, listeners = await context.store.read(work)
    found = [
        {
            "id": id_, "loadbalancer_id": balancer_id, "listener_id": listener_id,
            **summed([context.status_cache.statistics(balancer_id, listener_id, id_)]),
        }
        for listener_id in listeners
    ]  # fmt: skip
    return answer({"amphora_stats": found})


def existing(tx: Transaction, id_: str) -> Amphora:
    """The amphora of this id; ``NotFound`` where there is none."""
    if (amphora := tx.amphora(id_)) is not None:
        return amphora
    raise NotFound(f"amphora {id_} does not exist in this control plane")


def status_of(amphora: Amphora, balancer: Record | None) -> str:
    """As Octavia has it: one that is to go is being deleted, one that cannot be made is in ERROR."""
    if amphora.retiring:
        return statuses.PENDING_DELETE
    cannot = amphora.status == BOOTING and balancer is not None and balancer.error is not None
    return statuses.ERROR if cannot else amphora.status


def _show(tx: Transaction, amphora: Amphora, status_cache: StatusCache) -> Shown:
    """One that is alone has the VIP itself, and no other address there; one of a pair
    has an address of its own. One that is on an amphora of a group (``host_id``) has that one's agent."""
    host = tx.amphora(amphora.host_id) if amphora.host_id else amphora
    agent = host or amphora
    balancer = tx.get("load_balancer", amphora.load_balancer_id)
    vip = balancer.spec.get("vip_address") if balancer else None
    priority = pairs.priority(amphora)
    return {
        **_NONE,
        "id": amphora.id,
        "loadbalancer_id": None if amphora.role == HOST else amphora.load_balancer_id,
        "compute_id": agent.compute_id,
        "lb_network_ip": agent.management_address,
        "vrrp_ip": next((own.address for own in amphora.own), vip),
        "ha_ip": vip,
        "vrrp_id": FIRST_GROUP if priority is None else pairs.router_id(amphora.load_balancer_id),
        "vrrp_priority": priority,
        "cert_expiration": _utc(agent.certificate_expires),
        "cert_busy": CERTIFICATE in agent.requests,
        "role": amphora.role,
        "status": status_of(amphora, balancer),
        "cached_zone": _zone(balancer),
        "agent_version": agent.agent_version,
        "image_id": agent.image_id,
        "draining": DRAIN in amphora.requests,
        "vrrp_state": status_cache.vrrp_state(amphora.id),
        "host_id": amphora.host_id,
        "amphora_group_id": agent.load_balancer_id if agent.role == HOST else None,
        "created_at": amphora.created_at,
        "updated_at": amphora.updated_at,
    }


def _zone(balancer: Record | None) -> str | None:
    return balancer.spec.get("availability_zone") if balancer else None


def _utc(moment: str | None) -> str | None:
    """A time as Octavia writes it, without its zone."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") if moment else None
