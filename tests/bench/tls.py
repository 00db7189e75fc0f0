# SPDX-License-Identifier: Apache-2.0
"""TLS that ends at the balancer: full handshakes a second, and requests a second over connections that are kept.

Against a haproxy.cfg written by hand, as ``traffic.py`` does it: same namespace, members, checks and threads, no log;
besides the same certificate (ECDSA, P-256), ciphers, versions and ALPN. Both haproxies' caches of sessions are as haproxy
has them by default.

Requests are wrk's. Handshakes are those of ``openssl s_time -new``, which opens one connection after the other and
resumes no session (wrk would), asks nothing and closes; several of them run at once. Their own work is as heavy as
haproxy's, and they have the same CPUs: what counts is the ratio. s_time tells whether a session was resumed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pem
from octavia_provider.model.tls import DEFAULT_ALPN, DEFAULT_CIPHERS, split_ciphers

from . import traffic
from .rows import Row, at_least, median, median_ratio
from .site import balancer, enter, folder, inside, remove, site
from .topics import NotHere, Say

# More and shorter rounds than in traffic.py: on a shared machine, single ones differ by a third.
ROUNDS, SECONDS = 31, 1
CLIENTS = 4
SUITE = "TLS_AES_128_GCM_SHA256"
SHARE = 95


def handshakes_a_second(holder: int, url: str, seconds: int) -> float:
    """Full handshakes of TLS 1.3 by some clients at once, each one after the other."""
    place = url.removeprefix("https://").rstrip("/")
    place = place if ":" in place else f"{place}:443"
    words = ["openssl", "s_time", "-new", "-tls1_3", "-ciphersuites", SUITE, "-time", str(seconds), "-connect", place]
    began = time.monotonic()
    running = [
        subprocess.Popen(enter(holder, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(CLIENTS)
    ]
    said = []
    try:
        for one in running:
            said.append(one.communicate(timeout=seconds + 30)[0])  # noqa: PERF401 - what runs must be known below
    finally:
        for one in running:
            one.kill()
            one.wait(10)
    taken = time.monotonic() - began
    assert [one.returncode for one in running] == [0] * CLIENTS, said
    return sum(map(handshakes, said)) / taken


def handshakes(said: str) -> int:
    """How many s_time counted; it writes a letter for each connection, ``r`` for a session that was resumed."""
    found = re.search(r"^(\d+) connections in \d+ real seconds", said, re.MULTILINE)
    letters = re.search(r"^([*rt]+)$", said, re.MULTILINE)
    assert found, said
    assert letters, said
    assert "r" not in letters[1], "sessions were resumed"
    return int(found[1])


def bind(pair: str) -> str:
    """What somebody who knows haproxy writes on the ``bind`` line for what the listener has by default."""
    old, new = split_ciphers(DEFAULT_CIPHERS)
    versions = "ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.3"
    return f"ssl crt {pair} ciphers {old} ciphersuites {new} {versions} alpn {','.join(DEFAULT_ALPN)}"


def measure(say: Say) -> Iterator[Row]:
    """Shares, and the numbers that they are made of."""
    traffic.needs_wrk()
    if shutil.which("openssl") is None:
        raise NotHere("needs openssl: apt-get install openssl")
    certificate = pem.make("a.test")
    with site() as made, folder() as base:
        pair = base / "pair.pem"
        pair.write_text(certificate.pem + certificate.key_pem)
        say("two members, a monitor, a certificate")
        container = made.create("tls_container", name="a", **certificate.container())
        web = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": container["id"]}
        found = balancer(made, listener=web, **traffic.MONITOR)
        members = traffic.two_members(made, found)
        vip = found["load_balancer"]["vip_address"]
        agent = inside(made, "octavia_amphora.main")
        with traffic.by_hand(agent, vip, members, bind(str(pair))) as (other, theirs):
            ours = traffic.alike(agent, other)
            yield from _rows(made.holder, {f"https://{vip}/": ours, theirs: other}, say)
        remove(made, found, members)
        made.delete("tls_container", container["id"])


class Measured:
    """A rate, and beside it what the haproxy behind each URL did with a second of a processor."""

    def __init__(self, rate: traffic.Rate, pids: dict[str, int]) -> None:
        self._rate, self._pids = rate, pids
        self.per_cpu: dict[str, list[float]] = {url: [] for url in pids}

    def __call__(self, holder: int, url: str, seconds: int) -> float:
        """``traffic.Rate``."""
        began, before = time.monotonic(), cpu_seconds(self._pids[url])
        found = self._rate(holder, url, seconds)
        count = found * (time.monotonic() - began)
        self.per_cpu[url].append(count / (cpu_seconds(self._pids[url]) - before))
        return found


def cpu_seconds(pid: int) -> float:
    """How long a process has been on a processor, all threads together (``proc(5)``, schedstat)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _rows(holder: int, pids: dict[str, int], say: Say) -> Iterator[Row]:
    notes = {
        "handshakes": f"full, TLS 1.3, ECDSA P-256; {CLIENTS} × openssl s_time -new, {SECONDS} s a round",
        "requests": f"wrk with {traffic.CONNECTIONS} kept connections, {SECONDS} s a round",
    }
    ours, theirs = pids
    for what, rate in (("handshakes", handshakes_a_second), ("requests", traffic.requests_a_second)):
        measured = Measured(rate, pids)
        told = partial(_told, say, what)
        pairs = list(traffic.rounds(holder, ours, theirs, measured, told, count=ROUNDS, seconds=SECONDS))
        through, hand = zip(*pairs, strict=True)
        share = "of the hand-written, round by round"
        yield Row(f"tls.{what}_share", median_ratio(pairs) * 100, "%", at_least(SHARE), ROUNDS, share)
        each = list(zip(*(measured.per_cpu[url] for url in pids), strict=True))
        note = "the same, for each second that haproxy itself was on a CPU: other work touches it less"
        yield Row(f"tls.{what}_cpu_share", median_ratio(each) * 100, "%", None, len(each), note)
        yield Row(f"tls.{what}_amphora", median(through), f"{what}/s", None, ROUNDS, notes[what])
        yield Row(f"tls.{what}_by_hand", median(hand), f"{what}/s", None, ROUNDS)


def _told(say: Say, what: str, turn: str) -> None:
    say(f"{what}, {turn}")
