# SPDX-License-Identifier: Apache-2.0
"""Load balancers that should serve traffic and do not: from the control plane's statuses, then by probing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from octavia_provider.model import statuses

from . import health, probe

Node = Mapping[str, Any]
MAX_REQUESTS = 20
"""Maximum requests per listener."""
_SELECTABLE = (statuses.ONLINE, statuses.NO_MONITOR, statuses.DRAINING, statuses.UNKNOWN)


def not_serving(overview: Node) -> dict[str, str]:
    """Name → reason, for every enabled load balancer that does not serve."""
    hosts = {host["address"]: host for host in overview.get("hosts", ())}
    found: dict[str, str] = {}
    for balancer in overview["load_balancers"]:
        if balancer["admin_state_up"] and balancer["provisioning_status"] != statuses.PENDING_DELETE:
            reason = next(_reasons(balancer, hosts), None)
            if reason:
                found[health.name(balancer)] = reason
    return found


def _reasons(balancer: Node, hosts: Mapping[str, Node]) -> Iterator[str]:
    if balancer["provisioning_status"] in statuses.PENDING:
        yield f"is being brought about ({balancer['provisioning_status']})"
    if balancer["provisioning_status"] == statuses.ERROR:
        yield str(balancer["provisioning_error"] or "is in ERROR")
    pools = {pool["id"]: pool for pool in balancer["pools"]}
    listeners = [listener for listener in balancer["listeners"] if listener["admin_state_up"]]
    for listener in listeners:
        yield from _listener(listener, pools.get(str(listener["default_pool_id"])), hosts)
    if balancer["operating_status"] == statuses.UNKNOWN and not any(map(_is_probeable, listeners)):
        yield "nothing was heard of its amphora yet"


def _listener(listener: Node, pool: Node | None, hosts: Mapping[str, Node]) -> Iterator[str]:
    name = f"listener {health.name(listener)}"
    if listener["provisioning_status"] == statuses.ERROR:
        yield f"{name}: {listener['provisioning_error'] or 'is in ERROR'}"
    if listener["operating_status"] == statuses.OFFLINE:
        yield f"{name} is not open yet"
    members = [member for member in pool["members"] if member.get("admin_state_up", True)] if pool else []
    if not members:
        return
    for member in members:
        host = hosts.get(member["address"])
        if host is not None and not host["running"]:
            yield f"the command of host {health.name(host)} does not run yet"
    if not any(member["operating_status"] in _SELECTABLE for member in members):
        yield f"no member of pool {health.name(pool or {})} is up"
    for _ in range(min(2 * len(members), MAX_REQUESTS)):  # so that round robin reaches each member
        error = _probe_error(listener)
        if error:
            yield f"{name}: {error}"


def _is_probeable(listener: Node) -> bool:
    """Whether a probe can tell if traffic flows: not with allowed CIDRs, and not for UDP."""
    return bool(listener["url"]) and not listener["allowed_cidrs"] and listener["protocol"] not in ("UDP", "PROMETHEUS")


def _probe_error(listener: Node) -> str:
    """The error of a probe of the published address; "" when it answers or cannot be probed."""
    url = listener["url"]
    if not _is_probeable(listener):
        return ""
    if listener["protocol"] in ("HTTP", "TERMINATED_HTTPS"):
        return probe.request_error(url)
    return probe.connection_error(url.partition("://")[2].rpartition(":")[0].strip("[]"), listener["protocol_port"])
