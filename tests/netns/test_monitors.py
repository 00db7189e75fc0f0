# SPDX-License-Identifier: Apache-2.0
"""Health monitors, as the members that they check see them, and as clients see what follows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from octavia_provider.model.health_monitor import METHODS

from .installation import Installation, ask, until

MEMBER = Path(__file__).with_name("checked_member.py").read_text()
TELL = (
    "import sys,urllib.request as u;print(u.urlopen('http://%s:81/%s'%tuple(sys.argv[1:]),timeout=20).read().decode())"
)
OFTEN = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
Check = dict[str, Any]


@dataclass
class Checks:
    """A balancer with a listener, a pool and a monitor for each case, and the same member, ``here``, in all of them."""

    site: Installation
    network: str = ""
    hosts: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def host(self, name: str) -> None:
        made = self.site.create(
            "local_host", name=name, network_id=self.network, command=["python3", "-c", MEMBER], environment={"NAME": name},
        )  # fmt: skip
        self.hosts[name] = str(made["address"])

    def make(self, cases: dict[str, Check], **member: Check) -> None:
        """The balancer, in one call; a case's name is the end of its path, and of its listener's name."""
        members = {name: {"address": self.hosts["here"], "protocol_port": 80, **member.get(name, {})} for name in cases}
        listeners = [
            {"name": name, "protocol": "HTTP", "protocol_port": 1000 + number, "default_pool": {
                "name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": [members[name]],
                "healthmonitor": {**OFTEN, "url_path": f"/{name}", **monitor},
            }} for number, (name, monitor) in enumerate(cases.items())
        ]  # fmt: skip
        made = self.site.create("load_balancer", name="lb", vip_network_id=self.network, listeners=listeners)
        assert made["provisioning_status"] == "ACTIVE", made
        for one in made["listeners"]:  # ids alone, where it took longer than one call waits
            listener = self.site.get("listener", one["id"])
            self.urls[listener["name"]] = listener["url"]

    def seen(self, path: str, *, by: str = "here", tell: str = "") -> list[Check]:
        """The checks of this path that the member has answered."""
        done = self.site.inside("python3", "-c", TELL, self.hosts[by], tell)
        assert done.returncode == 0, done.stderr
        return [check for check in json.loads(done.stdout) if check["path"] == path]

    def status(self, case: str) -> int:
        """What a client is answered."""
        return ask(self.urls[case])[0]


@pytest.fixture
def checks(site: Installation) -> Checks:
    made = Checks(site, str(site.create("local_network", name="net")["id"]))
    for name in ("here", "there"):
        made.host(name)
    return made


@pytest.mark.covers(
    "health_monitor.http_method=GET", "health_monitor.http_method=HEAD", "health_monitor.http_method=POST",
    "health_monitor.http_method=PUT", "health_monitor.http_method=DELETE", "health_monitor.http_method=TRACE",
    "health_monitor.http_method=OPTIONS", "health_monitor.http_method=CONNECT", "health_monitor.http_method=PATCH",
    "health_monitor.url_path", "health_monitor.http_version=1.0", "health_monitor.http_version=1.1",
    "health_monitor.domain_name", "health_monitor.expected_codes", "health_monitor.admin_state_up",
    "member.monitor_address", "member.monitor_port",
)  # fmt: skip
def test_what_a_check_sends__where__and_which_answers_are_good(checks: Checks) -> None:
    methods = [choice.value for choice in METHODS]
    codes = {
        "code/204/a": "204",
        "code/204/b": "200-204",
        "code/204/c": "202,204",
        "code/204/d": "200",
        "code/500/e": None,
    }
    cases: dict[str, Check] = {
        **{method: {"http_method": method} for method in methods},
        "old": {"http_version": "1.0"}, "new": {"http_version": "1.1", "domain_name": "checked.example"},
        **{name: {"expected_codes": wanted} for name, wanted in codes.items()},
        "code/500/off": {"admin_state_up": False}, "port": {}, "address": {},
    }  # fmt: skip
    checks.make(cases, port={"monitor_port": 82}, address={"monitor_address": checks.hosts["there"]})

    for method in methods:
        first, *_ = until(lambda path=f"/{method}": checks.seen(path), what=f"a check by {method}")  # type: ignore[misc]
        assert (first["method"], first["version"], first["port"]) == (method, "HTTP/1.0", 80)
    old, new = (until(lambda path=path: checks.seen(path))[0] for path in ("/old", "/new"))  # type: ignore[misc]
    assert (old["version"], old["host"]) == ("HTTP/1.0", None)
    assert (new["version"], new["host"]) == ("HTTP/1.1", "checked.example")
    assert until(lambda: checks.seen("/port"))[0]["port"] == 82
    until(lambda: checks.seen("/address", by="there"), what="a check at another address")
    assert checks.seen("/address") == []
    until(lambda: ask(checks.urls["address"]) == (200, "here"), what="the member itself to answer")

    bad = {"code/204/d", "code/500/e"}
    for name in bad:
        until(lambda name=name: checks.status(name) == 503, what=f"the member to be down for {name}")  # type: ignore[misc]
    for name in {*cases} - bad:  # a busy machine may be late for a check, and one is enough here
        until(lambda name=name: checks.status(name) == 200, what=f"the member to be up for {name}")  # type: ignore[misc]
    assert checks.seen("/code/500/off") == []


@pytest.mark.covers("health_monitor.delay", "health_monitor.timeout")
def test_how_often_and_how_long(checks: Checks) -> None:
    patient = {"delay": 5, "timeout": 5}
    checks.make({"often": {}, "seldom": {"delay": 3600}, "late/short": {}, "late/long": patient})
    until(lambda: len(checks.seen("/often")) >= 5, what="five checks")
    assert len(checks.seen("/seldom")) <= 1  # the first one may come at any time
    until(lambda: checks.status("late/short") == 503, what="the member to be too late")
    until(lambda: checks.seen("/late/long"), what="a late answer")
    until(lambda: checks.status("late/long") == 200, what="the member not to be too late")


@pytest.mark.covers("health_monitor.max_retries", "health_monitor.max_retries_down")
def test_how_many_checks_must_fail_and_succeed(checks: Checks) -> None:
    slowly = {"delay": 2, "timeout": 2}  # we look between two of them, which takes its time on a busy machine
    checks.make({"flaky/one": slowly, "flaky/five": {**slowly, "max_retries": 5, "max_retries_down": 5}})
    # haproxy takes a server down at its first failure until it has seen enough successes: it starts on probation
    until(lambda: in_a_row(checks, "flaky/five", 200) > 5, what="the member to be trusted")
    for tell, told, answer in (("bad", 503, 503), ("good", 200, 200)):
        checks.seen("/flaky/five", tell=tell)
        until(lambda answer=answer: checks.status("flaky/one") == answer, what=f"one check to be enough: {tell}")  # type: ignore[misc]
        assert in_a_row(checks, "flaky/one", told) < 5, "one was enough"
        until(lambda answer=answer: checks.status("flaky/five") == answer, what=f"five checks: {tell}")  # type: ignore[misc]
        assert 5 <= in_a_row(checks, "flaky/five", told) < 10


def in_a_row(checks: Checks, case: str, status: int) -> int:
    """How many of the last checks were answered so, one after the other."""
    answered = [check["status"] for check in checks.seen(f"/{case}")]
    others = [place for place, one in enumerate(answered, start=1) if one != status]
    return len(answered) - (others[-1] if others else 0)
