# SPDX-License-Identifier: Apache-2.0
"""The overview: from the control plane, page by page, or from its store when it does not answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octavia_provider.model import statuses
from octavia_provider.model.errors import NotFound, Unreachable

from . import options

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

PATH = "/v2/octavia/status"
ANSWER_TIMEOUT = 10.0
"""Seconds for the control plane to answer."""


def overview(client: Client, names: Sequence[str] = ()) -> dict[str, Any]:
    """Load balancers (the named ones, or all) with everything below them, in requests of 100 each.

    ``Unreachable`` when the control plane does not answer; ``missing`` lists names that matched nothing.
    """
    from octavia_provider.client.deadline import Deadline

    result: dict[str, Any] = {}
    marker: str | None = None
    while True:
        path = PATH + _query(names, marker)
        answer = client.request(
            "GET", path, deadline=Deadline(ANSWER_TIMEOUT), timeout=ANSWER_TIMEOUT, subject="control plane"
        )
        page = answer.json()["status"]
        if result:
            result["load_balancers"] += page["load_balancers"]
        else:
            result = page
        marker = page["next"]
        if marker is None:
            result.pop("next")
            return result


def _query(names: Sequence[str], marker: str | None) -> str:
    from urllib.parse import urlencode

    pairs = [("load_balancer", name) for name in names] + ([("marker", marker)] if marker else [])
    return f"?{urlencode(pairs)}" if pairs else ""


def balancers(client: Client, name: str) -> list[dict[str, Any]]:
    """The load balancers with this id or name; ``NotFound`` when there are none."""
    found: list[dict[str, Any]] = overview(client, [name])["load_balancers"]
    if not found:
        raise NotFound("does not exist.", subject=f"load balancer {name}", hint="octaviactl status")
    return found


def offline_overview(home: Path, unreachable: Unreachable | None) -> dict[str, Any]:
    """The overview from the store: names only, all statuses UNKNOWN.

    A listener has ``answers``: whether its published address accepts connections (None: cannot be tested).
    """
    from octavia_provider.kit import paths
    from octavia_provider.store import offline

    objects: list[offline.Known] = []
    amphorae: list[tuple[str, str]] = []
    reason = str(unreachable) if unreachable else _starting(home)
    if (elsewhere := paths.database_url(home)).exists():
        reason = f"{reason or 'The control plane does not run.'} Its state is in {elsewhere.read_text().strip()}."
    try:
        objects, amphorae = offline.objects(paths.database(home)), offline.amphorae(paths.database(home))
    except OSError as error:
        reason = f"{reason or 'The control plane does not run.'} {error}. Try: {options.UNREADABLE}"
    lists: dict[str, list[Any]] = {
        "load_balancers": [],
        "hosts": [],
        "networks": [],
        "tls_containers": [],
        "amphora_groups": [],
    }
    result: dict[str, Any] = {"control_plane": None, "reason": reason, **lists, "missing": []}
    list_keys = {"local_host": "hosts", "local_network": "networks", "tls_container": "tls_containers"}
    parts: dict[str, list[offline.Known]] = defaultdict(list)
    for obj in objects:
        parts[obj.spec.get("loadbalancer_id", "")].append(obj)
    for obj in objects:
        if obj.kind == "load_balancer":
            own_amphorae = [{"id": id_} for id_, balancer in amphorae if balancer == obj.id]
            result["load_balancers"].append({**_balancer(obj, parts[obj.id]), "amphorae": own_amphorae})
        elif obj.kind in list_keys:
            result[list_keys[obj.kind]].append({**_node(obj), "address": obj.spec.get("address")})
    return result


def _starting(home: Path) -> str | None:
    """That one has the home and does not answer yet, where it is so. One that waits for OpenStack takes seconds."""
    from octavia_provider.kit import locks, paths

    every = (locks.holder(paths.serve_lock(instance)) for instance in paths.instances(home))
    pid = next((one for one in every if one is not None), None)
    return None if pid is None else f"A control plane starts here (pid {pid}), or ends: octaviactl logs."


def _balancer(balancer: Any, parts: Sequence[Any]) -> dict[str, Any]:
    from . import probe

    address = balancer.spec.get("published_address")
    listeners = [
        {
            **_node(part), "protocol": part.spec["protocol"], "protocol_port": part.spec["protocol_port"],
            "answers": probe.accepts_connections(address, part.spec["protocol"], part.spec["protocol_port"]),
        }
        for part in parts if part.kind == "listener"
    ]  # fmt: skip
    pools = [{**_node(part), "protocol": part.spec["protocol"]} for part in parts if part.kind == "pool"]
    named = {"vip_address": balancer.spec.get("vip_address"), "published_address": address}
    return {**_node(balancer), **named, "listeners": listeners, "pools": pools}


def _node(obj: Any) -> dict[str, Any]:
    status = {"provisioning_status": statuses.UNKNOWN, "operating_status": statuses.UNKNOWN}
    return {"id": obj.id, "name": obj.name, **status}
