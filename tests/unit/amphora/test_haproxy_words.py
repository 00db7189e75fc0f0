# SPDX-License-Identifier: Apache-2.0
"""What haproxy says, read: server states, counters, processes, complaints."""

from __future__ import annotations

import pytest

from octavia_amphora.haproxy import check, counters, global_section, runtime, servers
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Backend, Configuration, Frontend, Server, compose
from octavia_amphora.wire.messages import Counters

A = Server("a", "10.0.0.1", 80, weight=3, options="check")
B = Server("b", "10.0.0.2", 80)
ONE = Configuration(
    "lb",
    "global\n    maxconn 1\ndefaults\n    mode http\n",
    {"f": Frontend("f", "    bind :80\n    default_backend p:f\n")},
    {"p:f": Backend("p:f", "p", "    balance roundrobin\n", {"a": A, "b": B})},
)
HEADER = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state …\n"


def line(name: str, *, op: int = 2, admin: int = 0, weight: int = 1, checks: int = 6, address: str = "10.0.0.1") -> str:
    return f"3 p:f 1 {name} {address} {op} {admin} {weight} {weight} 9 6 3 4 {checks} 0 0 0 - 80 - 0 0 - - 0\n"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (line("a"), "up"),
        (line("a", checks=0), "no_check"),
        (line("a", op=0), "down"),
        (line("a", op=0, admin=1), "maint"),
        (line("a", admin=4), "up"),
        (line("a", weight=0), "drain"),
        (line("a", weight=0, op=0), "down"),
        (line("a", admin=8), "drain"),
    ],
)
def test_states(text: str, state: str) -> None:
    (one,) = servers.parse_states(HEADER + text)
    assert one.state() == state


def test_agreement_is_of_all_that_can_be_seen() -> None:
    (good,) = servers.parse_states(line("a", weight=3))
    assert good.matches(A)
    for wrong in (line("a"), line("a", weight=3, admin=1), line("a", weight=3, address="10.0.0.9")):
        (one,) = servers.parse_states(wrong)
        assert not one.matches(A)


def test_of_the_saved_states_only_health_is_kept() -> None:
    text = HEADER + line("a", op=0, weight=9, address="10.9.9.9", admin=4) + line("b", op=0) + line("gone")
    kept = servers.state_file(text, ONE)
    assert kept == HEADER + line("a", op=0, weight=3)
    assert servers.state_file(HEADER + line("a", op=0, admin=1), ONE) == HEADER


def test_old_workers_are_told_apart() -> None:
    text = (
        "#<PID> <type> <reloads> <uptime> <version>\n4 master 2 [failed: 0] 0d 2.6\n# workers\n16 worker 0 0d 2.6\n"
        "# old workers\n10 worker 1 0d 2.6\n# programs\n\n"
    )
    assert [(p.pid, p.kind, p.current) for p in runtime.parse_processes(text)] == [
        (4, "master", True), (16, "worker", True), (10, "worker", False),
    ]  # fmt: skip


def test_counters_add_up_over_workers() -> None:
    ledger = counters.CounterTotals()
    text = "# pxname,svname,scur,stot,bin,bout,ereq,status,\nf,FRONTEND,2,10,100,1000,1,OPEN,\np:f,a,1,1,1,1,,UP,\n"
    parsed = counters.parse(text)
    assert parsed["f"].status == "open"
    assert list(parsed) == ["f"]
    ledger.update("1", {"f": parsed["f"].counters})
    ledger.update("2", {"f": Counters(1, 1, 1, 1, 0)})
    assert ledger.total("f") == Counters(101, 1001, 3, 11, 1)
    ledger.update("1", counters.parse(""))
    assert ledger.total("f") == Counters(101, 1001, 3, 11, 1)
    ledger.fold_ended({"2"})
    ledger.update("2", {"f": Counters(2, 2, 0, 2, 0)})
    assert ledger.total("f") == Counters(102, 1002, 0, 12, 1)
    ledger.drop_listeners(set())
    assert ledger.total("f") == Counters(2, 2, 0, 2, 0)


def test_complaints_name_line_proxy_and_server() -> None:
    text = compose(ONE).splitlines()
    at = text.index("    server b 10.0.0.2:80 weight 1") + 1
    output = (
        "[NOTICE]   (1) : haproxy version is 2.6\n"
        f"[ALERT]    (1) : config : parsing [/x/candidate.cfg:{at + 9}] : 'server p:f/b' : unknown keyword.\n"
        "[ALERT]    (1) : config : Proxy 'f': unable to find required default_backend: 'p:f'.\n"
        "[ALERT]    (1) : config : backend 'p:f', server 'a': bad.\n"
        "[WARNING]  (1) : config : whatever\n"
        "[ALERT]    (1) : config : Error(s) found in configuration file : /x/candidate.cfg\n"
        "[ALERT]    (1) : config : Fatal errors found in configuration.\n"
    )
    found = check.complaints(output, ONE, skipped_lines=9)
    assert [(one.line, one.proxy, one.server) for one in found] == [
        (at, "p:f", "b"),
        (None, "f", ""),
        (None, "p:f", "a"),
    ]
    assert f"[haproxy.cfg:{at}]" in found[0].message


def test_the_prelude_is_one_section_and_marks_what_was_loaded() -> None:
    text = global_section.render(Paths.for_load_balancer("/s", "/r", "lb"), mark="abc 1")
    assert text.startswith("global\n    description abc 1\n")
    assert "user" not in text  # haproxy never was another one, so there is nobody whom it would have to become


def test_structure_is_all_but_the_servers() -> None:
    bare = Configuration("lb", ONE.base, ONE.frontends, {"p:f": Backend("p:f", "p", "    balance roundrobin\n")})
    assert global_section.structure(ONE) == global_section.structure(bare)
    other = Configuration("lb", ONE.base, ONE.frontends, {"p:f": Backend("p:f", "p", "    balance source\n")})
    assert global_section.structure(ONE) != global_section.structure(other)
