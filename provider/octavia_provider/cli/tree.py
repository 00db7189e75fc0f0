# SPDX-License-Identifier: Apache-2.0
"""The overview as a text tree: load balancers, listeners, policies, pools, monitors and members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.kit.console import Styled, styled
from octavia_provider.model import statuses
from octavia_provider.model.naming import means

from . import exit_codes
from .health import Problem, name

Node = Mapping[str, Any]
Line = tuple[object, ...]
"""Parts of a line for ``console.echo``, which escapes plain strings."""

_COLOURS = {
    "ACTIVE": "green", "ONLINE": "green", "ERROR": "red", "DEGRADED": "yellow", "DRAINING": "yellow", "OFFLINE": "yellow",
    "UNKNOWN": "magenta", "NO_MONITOR": "bright_black",
}  # fmt: skip
_TARGETS = ("redirect_url", "redirect_prefix")


@dataclass
class Branch:
    """A line and its children."""

    line: Line
    children: list[Branch] = field(default_factory=list)

    def add(self, *line: object) -> Branch:
        """Add a child."""
        self.children.append(Branch(line))
        return self.children[-1]

    def lines(self, indent: str = "", connector: str = "") -> Iterator[Line]:
        """The line and its descendants, drawn as ``tree(1)`` does."""
        yield (indent + connector, *self.line)
        child_indent = indent + {"": "", "├── ": "│   ", "└── ": "    "}[connector]
        for i, branch in enumerate(self.children):
            yield from branch.lines(child_indent, "└── " if i == len(self.children) - 1 else "├── ")


def balancers(overview: Node) -> Iterator[Line]:
    """A tree for each load balancer."""
    for balancer in overview["load_balancers"]:
        yield from _balancer(balancer).lines()


def groups(overview: Node, names: Sequence[str]) -> Iterator[Line]:
    """A tree for each amphora group, or for those that are called so."""
    for group in overview.get("amphora_groups", ()):
        if names and not any(means(word, group["id"], group["name"]) for word in names):
            continue
        head = Branch(("amphora group ", styled(name(group), bold=True), "  ", _statuses(group)))
        for amphora in group["amphorae"]:
            on = f"{amphora['load_balancers']} of {group['capacity']} load balancers  "
            head.add(f"amphora {amphora['id']}  {on}", state_words(amphora))
        yield from head.lines()


def hosts(overview: Node) -> Iterator[Line]:
    """A line for each host of the embedded cloud."""
    for host in overview.get("hosts", ()):
        runs = {True: styled("runs", fg="green"), False: styled("does not run", fg="red")}.get(host.get("running"), "")
        port = host.get("forward_port")
        where = f"{host['address']}" + (f" → 127.0.0.1:{port}" if port else "")
        yield (f"host {name(host)}  {where}  ", runs)


def summary(found: list[Problem]) -> Iterator[Line]:
    """The problems, worst first."""
    for trouble in sorted(found, key=lambda one: -one.exit_code):
        yield (styled("! ", fg="red" if trouble.exit_code == exit_codes.ERROR else "yellow"), str(trouble))


def _balancer(balancer: Node) -> Branch:
    published = balancer.get("published_address")
    addresses = ", ".join([balancer["vip_address"] or "no VIP yet", *balancer.get("additional_vips", ())])
    where = addresses + (f" → {published}" if published else "")
    head = Branch((styled(name(balancer), bold=True), f"  {where}  ", _statuses(balancer), _stats(balancer)))
    if warning := balancer.get("last_warning"):
        when = warning["last_at"][:19].replace("T", " ")
        head.add(styled(f"{warning['reason']} at {when}: ", fg="yellow"), warning["message"])
    for amphora in balancer.get("amphorae") or ():
        on = f" on {amphora['host_id']}" if amphora.get("host_id") else ""
        head.add(f"amphora {amphora['id']}{on}  {amphora.get('role', '')}  ", state_words(amphora))
    pools = {pool["id"]: pool for pool in balancer["pools"]}
    shown: set[str] = set()
    for listener in balancer["listeners"]:
        branch = head.add(
            "listener ", styled(name(listener), bold=True), f"  {_endpoint(listener)}  ", _statuses(listener)
        )
        for policy in listener.get("l7policies", ()):
            _policy(branch, policy, pools)
        default = pools.get(str(listener.get("default_pool_id")))
        if default is not None and default["id"] in shown:
            branch.add(f"pool {name(default)}, shown above")
        elif default is not None:
            shown.add(default["id"])
            _pool(branch, default)
    for pool in balancer["pools"]:
        if pool["id"] not in shown:
            _pool(head, pool)
    return head


def state_words(amphora: Node) -> str:
    """What an amphora does, and what is done to it."""
    vrrp, status = str(amphora.get("vrrp_state")), str(amphora.get("status", ""))
    state = {"MASTER": "has the VIPs", "BACKUP": "stands by", "FAULT": "cannot take the VIPs"}.get(vrrp, status)
    marks = [", drained"] if amphora.get("draining") else []
    if status == statuses.PENDING_DELETE and state != status:
        marks.append(", is being replaced")
    return state + "".join(marks)


def _endpoint(listener: Node) -> str:
    if "answers" in listener:
        state = {True: "takes connections", False: "takes no connections"}.get(listener["answers"], "cannot be tried")
        return f"{listener['protocol']} :{listener['protocol_port']}  {state}"
    return f"{listener['protocol']} :{listener['protocol_port']}  {listener.get('url') or ''}".rstrip()


def _policy(branch: Branch, policy: Node, pools: Mapping[str, Node]) -> None:
    target = next((policy[key] for key in _TARGETS if policy.get(key)), "")
    pool = pools.get(str(policy.get("redirect_pool_id")))
    to = f" → {name(pool) if pool else target}" if pool or target else ""
    head = f"L7 policy {policy['position']} {name(policy)}  {policy['action']}{to}  "
    inner = branch.add(head, _statuses(policy))
    for rule in policy["rules"]:
        key = f" {rule['key']}" if rule.get("key") else ""
        negation = "not " if rule.get("invert") else ""
        inner.add(f"if {negation}{rule['type']}{key} {rule['compare_type']} {rule['value']}")


def _pool(branch: Branch, pool: Node) -> None:
    kind = " ".join(str(pool[key]) for key in ("protocol", "lb_algorithm") if key in pool)
    inner = branch.add("pool ", styled(name(pool), bold=True), f"  {kind}  ", _statuses(pool))
    if pool.get("healthmonitor"):
        inner.add(*_monitor(pool["healthmonitor"]))
    for member in pool.get("members", ()):
        backup = ", backup" if member.get("backup") else ""
        where = f"{member['address']}:{member['protocol_port']}  weight {member['weight']}{backup}  "
        inner.add(f"member {name(member)}  {where}", _statuses(member))


def _monitor(monitor: Node) -> Line:
    asks = " ".join(str(monitor[key]) for key in ("http_method", "url_path") if monitor.get(key))
    expects = f" expects {monitor['expected_codes']}" if monitor.get("expected_codes") else ""
    what = (
        f"{monitor['type']} {asks}".rstrip() + f"{expects} every {monitor['delay']} s, timeout {monitor['timeout']} s"
    )
    return (f"health monitor {name(monitor)}  {what}  ", _statuses(monitor))


def _stats(balancer: Node) -> Styled:
    stats = balancer.get("stats")
    if stats is None:
        return Styled("")
    text = f"  {stats['total_connections']} connections, {format_size(stats['bytes_in'])} in, {format_size(stats['bytes_out'])} out"
    return styled(text, dim=True)


def format_size(count: int) -> str:
    """``1.2 MB``"""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _statuses(node: Node) -> Styled:
    statuses = [node.get("provisioning_status"), node.get("operating_status")]
    if statuses[0] == statuses[1]:
        statuses.pop()
    off = [styled("switched off", fg="yellow")] if node.get("admin_state_up") is False else []
    return Styled(" ".join([*(styled(word, fg=_COLOURS.get(word, "yellow")) for word in statuses if word), *off]))
