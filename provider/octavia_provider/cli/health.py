# SPDX-License-Identifier: Apache-2.0
"""Problems of load balancers, from the API's overview, and the exit code that follows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from octavia_provider.model import statuses
from octavia_provider.model.kinds import KINDS

from . import exit_codes

Node = Mapping[str, Any]
_DOING = {
    statuses.PENDING_CREATE: "is being created",
    statuses.PENDING_UPDATE: "is being changed",
    statuses.PENDING_DELETE: "is being deleted",
}
BREAKER = "{silent} of {amphorae} amphorae are silent at once: it suspects itself, and replaces none until most are heard again"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be. ``code``: DEGRADED or ERROR of :mod:`codes`, OK where it is
    to be seen to one day."""

    exit_code: int
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}"


def exit_code(found: list[Problem]) -> int:
    """The exit code of the worst problem; OK without problems."""
    return max((problem.exit_code for problem in found), default=exit_codes.OK)


def problems(overview: Mapping[str, Any]) -> Iterator[Problem]:
    """All problems in an overview, by load balancer."""
    yield from _control_planes(overview)
    for balancer in overview["load_balancers"]:
        yield from _balancer(balancer)
    for kind in ("amphora_group", "network", "host", "tls_container"):
        for node in overview.get(f"{kind}s", ()):
            yield from _provisioning_problems(_label(kind, node), node)
    for group in overview.get("amphora_groups", ()):
        yield from _group_amphorae(group)
    for container in overview.get("tls_containers", ()):
        for warned in container.get("certificate_warnings") or ():
            worst = exit_codes.DEGRADED if warned["breaks"] else exit_codes.OK
            yield Problem(worst, _label("tls_container", container), warned["message"])
    for host in overview.get("hosts", ()):
        active = host["provisioning_status"] == statuses.ACTIVE
        if active and not host["running"]:
            yield Problem(
                exit_codes.DEGRADED, _label("host", host), f"its command does not run: octaviactl logs {name(host)}"
            )


def _group_amphorae(group: Node) -> Iterator[Problem]:
    """Those of a group that cannot take load balancers now."""
    for amphora in group["amphorae"]:
        subject = f"amphora {amphora['id']} of the amphora group {name(group)}"
        if amphora["status"] == statuses.PENDING_DELETE:
            on = amphora["load_balancers"]
            yield Problem(
                exit_codes.DEGRADED, subject, f"is being taken away; load balancers that are on it still: {on}"
            )
        elif amphora["status"] != "ALLOCATED":
            yield Problem(exit_codes.DEGRADED, subject, f"is not ready ({amphora['status']})")


def _control_planes(overview: Mapping[str, Any]) -> Iterator[Problem]:
    heartbeats = (overview.get("control_plane") or {}).get("heartbeats") or {}
    if heartbeats.get("breaker_open"):
        yield Problem(exit_codes.DEGRADED, "control plane", BREAKER.format(**heartbeats))
    processes = overview.get("control_planes", ())
    rest = "; the others do its work" if any(one["alive"] for one in processes) else ""
    for process in processes:
        if not process["alive"]:
            yield Problem(exit_codes.OK, "control plane", control_plane(process) + rest)


def control_plane(process: Node) -> str:
    """One of several that share a database."""
    count = process["load_balancers"]
    work = f"{count} load balancer{'s' * (count != 1)}" if process["alive"] else "says nothing any more"
    return f"{process['name']} (process {process['pid']} on {process['machine']}): {work}"


def _balancer(balancer: Node) -> Iterator[Problem]:
    subject = _label("load_balancer", balancer)
    yield from _provisioning_problems(subject, balancer)
    operating = balancer["operating_status"]
    if operating == statuses.UNKNOWN:
        yield Problem(
            exit_codes.DEGRADED, subject, f"nothing was heard of its amphora yet ({balancer['provisioning_status']})"
        )
    elif balancer["admin_state_up"] and not balancer["amphorae"] and operating != statuses.ONLINE:
        yield Problem(exit_codes.ERROR, subject, "it has no amphora")
    for listener in balancer["listeners"]:
        yield from _provisioning_problems(_label("listener", listener), listener)
        for policy in listener["l7policies"]:
            yield from _provisioning_problems(_label("l7_policy", policy), policy)
            for rule in policy["rules"]:
                yield from _provisioning_problems(_label("l7_rule", rule), rule)
        if not (balancer["admin_state_up"] and listener["admin_state_up"]):
            continue  # administratively down
        if listener["operating_status"] in (statuses.OFFLINE, statuses.DEGRADED):
            messages = {
                statuses.OFFLINE: "haproxy does not serve it",
                statuses.DEGRADED: "it has reached its connection limit",
            }
            yield Problem(exit_codes.DEGRADED, _label("listener", listener), messages[listener["operating_status"]])
    for pool in balancer["pools"]:
        yield from _pool(pool)
    if operating in (statuses.ERROR, statuses.DEGRADED):
        worst = exit_codes.ERROR if operating == statuses.ERROR else exit_codes.DEGRADED
        yield Problem(worst, subject, f"operating status {operating}")


def _pool(pool: Node) -> Iterator[Problem]:
    yield from _provisioning_problems(_label("pool", pool), pool)
    if pool["healthmonitor"]:
        yield from _provisioning_problems(_label("health_monitor", pool["healthmonitor"]), pool["healthmonitor"])
    down = [member for member in pool["members"] if member["operating_status"] == statuses.ERROR]
    for member in pool["members"]:
        yield from _provisioning_problems(_label("member", member), member)
    for member in down:
        where = f"{member['address']}:{member['protocol_port']}"
        yield Problem(exit_codes.DEGRADED, _label("member", member), f"{where} fails its health checks")
    if down and len(down) == len(pool["members"]):
        yield Problem(exit_codes.ERROR, _label("pool", pool), "none of its members is up")


def _provisioning_problems(subject: str, node: Node) -> Iterator[Problem]:
    """Failed and pending provisioning, with the reason."""
    reason = node.get("provisioning_error")
    if node["provisioning_status"] == statuses.ERROR:
        yield Problem(exit_codes.ERROR, subject, str(reason or "provisioning status ERROR"))
    elif doing := _DOING.get(node["provisioning_status"]):
        yield Problem(exit_codes.DEGRADED, subject, f"{doing}: {reason}" if reason else doing)
    elif reason:
        yield Problem(exit_codes.DEGRADED, subject, str(reason))


def _label(kind: str, node: Node) -> str:
    label = {"network": "network", "host": "host"}.get(kind) or KINDS[kind].LABEL
    return f"{label} {name(node)}"


def name(node: Node) -> str:
    """The name, else the id."""
    return str(node.get("name") or node["id"])
