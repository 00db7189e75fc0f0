# SPDX-License-Identifier: Apache-2.0
"""Requests a second through an amphora, against a haproxy.cfg written by hand that does the same for the same members.

Both haproxies run in the amphora's own network namespace, with the same threads, no log, and the same checks of the
same two members; the hand-written one listens on another port of the VIP. ``wrk`` runs in the fabric's namespace, where
the VIPs are reached. Each haproxy has a session of its own: the kernel shares the CPUs out by session (autogroup,
``sched(7)``), and one in our session would have had more of them than the amphora's. Each round measures both, one right
after the other, the first one first in every other round; what counts is the median of the rounds' ratios. Members
answer from haproxy itself (``http-request return``), so that they are not what is measured.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from netns.installation import Installation, until

from .rows import Row, at_least, median, median_ratio
from .site import balancer, descendants, enter, folder, inside, remove, site
from .topics import NotHere, Say

ROUNDS, SECONDS, CONNECTIONS = 9, 3, 32
PORT = 81
MONITOR = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
Rate = Callable[[int, str, int], float]
"""Measures at a URL, from the namespace of a process, for so many seconds."""
MEMBER = """
global
    nbthread 1
defaults
    mode http
    timeout client 1m
    timeout connect 5s
    timeout server 1m
frontend web
    bind :80
    http-request return status 200 content-type text/plain string "well"
"""
# What somebody who knows haproxy writes for this balancer.
BY_HAND = """
global
    maxconn 50000
    no strict-limits
    spread-checks 4
defaults
    mode http
    retries 3
    option redispatch
    timeout client 50s
    timeout connect 5s
    timeout server 50s
frontend web
    bind {vip}:{port}{tls}
    default_backend servers
backend servers
    balance roundrobin
    timeout check 1s
    option httpchk
    http-check send meth GET uri / ver HTTP/1.0
    http-check expect status 200
{servers}
"""


def member(made: Installation, network: dict[str, Any], name: str) -> dict[str, Any]:
    """A host that runs a haproxy which answers everything itself."""
    start = f"cat > /tmp/{name}.cfg <<'END'\n{MEMBER}END\nexec haproxy -db -f /tmp/{name}.cfg"
    found = made.create("local_host", name=name, network_id=network["id"], command=["sh", "-c", start], user="root")
    assert found["provisioning_status"] == "ACTIVE", found
    return found


@contextlib.contextmanager
def by_hand(namespace: int, vip: str, members: list[dict[str, Any]], tls: str = "") -> Iterator[tuple[int, str]]:
    """The hand-written haproxy, in the network namespace of this process; answers its process id and its URL.

    ``tls``: what stands on its ``bind`` line, if it ends TLS.
    """
    lines = (f"    server {m['name']} {m['address']}:80 check inter 1s fall 1 rise 1" for m in members)
    with folder() as base:
        path = base / "by-hand.cfg"
        path.write_text(BY_HAND.format(vip=vip, port=PORT, servers="\n".join(lines), tls=f" {tls}" if tls else ""))
        process = subprocess.Popen(
            enter(namespace, "haproxy", "-db", "-f", str(path)), stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield descendants(process.pid)[-1], f"{'https' if tls else 'http'}://{vip}:{PORT}/"
        finally:
            process.terminate()
            process.wait(10)


def requests_a_second(holder: int, url: str, seconds: int) -> float:
    """What wrk gets through; every answer must be well."""
    words = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", url]
    done = subprocess.run(enter(holder, *words), capture_output=True, text=True, check=True, timeout=seconds + 30)
    assert "Non-2xx" not in done.stdout, done.stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def answers(holder: int, url: str) -> bool:
    """Whether one request is answered."""
    words = enter(holder, "wrk", "-t1", "-c1", "-d1s", url)
    return subprocess.run(words, capture_output=True, check=False, timeout=20).returncode == 0


def measure(say: Say) -> Iterator[Row]:
    """The share, and both numbers."""
    needs_wrk()
    with site() as made:
        say("two members, a monitor")
        found = balancer(made, **MONITOR)
        members = two_members(made, found)
        vip = found["load_balancer"]["vip_address"]
        agent = inside(made, "octavia_amphora.main")
        with by_hand(agent, vip, members) as (other, theirs):
            alike(agent, other)
            pairs = list(rounds(made.holder, f"http://{vip}/", theirs, requests_a_second, say))
        remove(made, found, members)
    through, hand = zip(*pairs, strict=True)
    note = f"wrk with {CONNECTIONS} kept connections, {SECONDS} s a round, members on the same two CPUs"
    yield Row(
        "traffic.share", median_ratio(pairs) * 100, "%", at_least(95), ROUNDS, "of the hand-written, round by round"
    )
    yield Row("traffic.amphora", median(through), "requests/s", None, ROUNDS, note)
    yield Row("traffic.by_hand", median(hand), "requests/s", None, ROUNDS)


def needs_wrk() -> None:
    """``NotHere`` where it is not."""
    if shutil.which("wrk") is None:
        raise NotHere("needs wrk: apt-get install wrk")


def two_members(made: Installation, found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Two hosts, members of the balancer's pool."""
    members = [member(made, found["local_network"], f"m{n}") for n in range(2)]
    for one in members:
        made.create("member", parent=found["pool"]["id"], name=one["name"], address=one["address"], protocol_port=80)
    return members


def alike(agent: int, other: int) -> int:
    """Wait until the amphora's haproxy and the other one have as many threads; answers the former's process id."""
    ours = descendants(agent)[-1]  # the agent's child is haproxy's master, whose child is the worker
    until(lambda: threads(ours) == threads(other), what="both haproxies to have as many threads")
    return ours


def rounds(
    holder: int, ours: str, theirs: str, rate: Rate, say: Say, *, count: int = ROUNDS, seconds: int = SECONDS
) -> Iterator[tuple[float, float]]:
    """Pairs of what ``rate`` measures at both URLs, once both answer and are warm."""
    for url in (ours, theirs):
        until(lambda url=url: answers(holder, url), what=f"{url} to answer")  # type: ignore[misc]
        rate(holder, url, 1)
    for turn in range(count):
        say(f"round {turn + 1} of {count}")
        if turn % 2:
            second = rate(holder, theirs, seconds)
            yield rate(holder, ours, seconds), second
        else:
            first = rate(holder, ours, seconds)
            yield first, rate(holder, theirs, seconds)
