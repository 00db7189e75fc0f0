# SPDX-License-Identifier: Apache-2.0
"""Golden files: what each feature renders to, each accepted by the real ``haproxy -c``.

``pytest --update-golden`` writes them anew.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import hash_seeds
from builders import graph, resource, web
from octavia_amphora.wire.config import compose
from octavia_provider.model.graph import Graph
from octavia_provider.model.listener import HEADERS
from octavia_provider.render.haproxy import Peer, Placement, render
from octavia_provider.render.member import numbers
from unit.render import tls_cases as tls

GOLDEN = Path(__file__).parents[2] / "golden" / "haproxy"
HERE = Placement(vips=("127.0.0.1",))
PAIR = Placement(
    vips=("127.0.0.1",), peers=(Peer(name="a1", address="127.0.0.11"), Peer(name="a2", address="fd00::12"))
)


def policies(*given: dict[str, object]) -> Graph:
    """A listener with these policies in this order, each with the rules under ``rules``; a pool ``other`` beside."""
    found = web()
    found.add(resource("pool", "other", listener_id=None, loadbalancer_id="lb"))
    for n, values in enumerate(given, start=1):
        rules = values.pop("rules", [{}])
        found.add(resource("l7_policy", f"p{n}", position=n, **values))
        for m, rule in enumerate(rules, start=1):  # type: ignore[call-overload]
            found.add(resource("l7_rule", f"p{n}r{m}", l7policy_id=f"p{n}", **rule))
    return found


HOSTILE = "-f \\ \"a\" 'b' #c %[src] %% ${HOME} é日本"
L7_RULES = [
    {"type": type_, "compare_type": compare, "value": value, "key": key}
    for type_, compare, value, key in (
        ("HOST_NAME", "ENDS_WITH", ".example.com", None), ("PATH", "CONTAINS", HOSTILE, None),
        ("FILE_TYPE", "EQUAL_TO", ".jpg", None), ("FILE_TYPE", "REGEX", "^(png|gif)$", None),
        ("HEADER", "EQUAL_TO", HOSTILE, "!#$%&'*+-.^_`|~aZ9"), ("COOKIE", "STARTS_WITH", HOSTILE, "!#$%&'*+-.^_`|~aZ9"),
        ("COOKIE", "REGEX", '^a\\b"$', "!#$%&'*+-.^_`|~aZ9"),
        ("METHOD", "EQUAL_TO", "POST", None), ("SOURCE_IP", "EQUAL_TO", "10.0.0.0/8", None),
        ("SOURCE_IP", "EQUAL_TO", "2001:DB8::1/32", None), ("SOURCE_IP", "EQUAL_TO", "::1.2.3.4", None),
        ("SSL_CONN_HAS_CERT", "EQUAL_TO", "true", None), ("SSL_VERIFY_RESULT", "EQUAL_TO", "10", None),
        ("SSL_DN_FIELD", "REGEX", "^a\\.b$", "CN"),
    )
]  # fmt: skip

CASES: dict[str, tuple[Graph, Placement]] = {
    "l7-actions": (
        policies(
            {"action": "REDIRECT_TO_POOL", "redirect_pool_id": "other"},
            {"action": "REJECT"},
            {"action": "REDIRECT_TO_URL", "redirect_url": "http://a.example/%20?b=%[src]"},
            {"action": "REDIRECT_PREFIX", "redirect_prefix": "https://a.example", "redirect_http_code": 308},
            {"action": "REDIRECT_PREFIX", "redirect_prefix": "https://a.example/old/"},
            {"action": "REDIRECT_TO_POOL", "redirect_pool_id": "pool"},
        ),
        HERE,
    ),
    "l7-rules": (policies({"rules": [*L7_RULES, {"invert": True}, {"admin_state_up": False}]}), HERE),
    "l7-headers": (
        policies(
            {
                "action": "CHANGE_HEADERS",
                "header_changes": [
                    {"operation": "ADD", "name": "X-A", "value": HOSTILE},
                    {"operation": "SET", "name": "X'B", "value": "1"},
                    {"operation": "REMOVE", "name": "X-C", "message": "RESPONSE"},
                    {
                        "operation": "REWRITE",
                        "name": "X-D",
                        "pattern": "^(.*)#$",
                        "value": "\\1",
                        "message": "RESPONSE",
                    },
                ],
            }
        ),
        HERE,
    ),
    "l7-off": (policies({"admin_state_up": False}, {"rules": []}, {"rules": [{"admin_state_up": False}]}), HERE),
    "rate-limit": (graph(resource("listener", "web", rate_limit={"requests": 10, "period_seconds": 60})), HERE),
    "pair": (
        graph(
            resource("listener", "web", rate_limit={"requests": 10, "period_seconds": 60}),
            resource("pool", "pool", session_persistence={"type": "SOURCE_IP"}),
            resource("pool", "other", session_persistence={"type": "APP_COOKIE", "cookie_name": "sid"}),
        ),
        PAIR,
    ),
    "http": (web(), HERE),
    "published": (web(), Placement(vips=("127.0.0.1",), proxy_address="127.0.0.2")),
    "tcp": (
        graph(
            resource("listener", "web", protocol="TCP", timeout_tcp_inspect=100),
            resource("pool", "pool", protocol="TCP"),
            resource("member", "m1"),
        ),
        HERE,
    ),
    "no-pool": (graph(resource("listener", "web")), HERE),
    "listener-off": (graph(resource("listener", "web", admin_state_up=False), resource("pool", "pool")), HERE),
    "balancer-off": (graph(resource("listener", "web"), admin_state_up=False), HERE),
    "pool-off": (graph(resource("listener", "web"), resource("pool", "pool", admin_state_up=False)), HERE),
    "limits": (
        graph(
            resource(
                "listener",
                "web",
                connection_limit=7,
                timeout_client_data=0,
                timeout_member_connect=1,
                timeout_member_data=2_073_600_000,
            ),
            resource("pool", "pool"),
        ),
        HERE,
    ),
    "headers": (
        graph(
            resource(
                "listener",
                "web",
                insert_headers=dict.fromkeys(HEADERS, "true"),
            )
        ),
        HERE,
    ),
    "headers-off": (graph(resource("listener", "web", insert_headers={"X-Forwarded-For": "false"})), HERE),
    "least-connections": (web(lb_algorithm="LEAST_CONNECTIONS"), HERE),
    "source-ip": (web(lb_algorithm="SOURCE_IP"), HERE),
    "source-ip-port": (web(lb_algorithm="SOURCE_IP_PORT"), HERE),
    "proxy": (web(protocol="PROXY"), HERE),
    "proxy-v2": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool", protocol="PROXYV2"),
            resource("health_monitor", "hm", type="TCP"),
            resource("member", "m1", monitor_port=9000),
        ),
        HERE,
    ),
    "metrics": (
        graph(resource("listener", "web", protocol="PROMETHEUS")),
        Placement(vips=("127.0.0.1",), proxy_address="127.0.0.2"),
    ),
    "persistence-source-ip": (web(session_persistence={"type": "SOURCE_IP"}), HERE),
    "persistence-http-cookie": (web(session_persistence={"type": "HTTP_COOKIE"}), HERE),
    "persistence-app-cookie": (
        web(session_persistence={"type": "APP_COOKIE", "cookie_name": "!#$%&'*+-.^_`|~aZ9"}),
        HERE,
    ),
    "members": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool"),
            resource("member", "drained", weight=0),
            resource("member", "heavy", address="10.0.0.12", weight=256),
            resource("member", "off", address="10.0.0.13", admin_state_up=False),
            resource("member", "backup", address="10.0.0.14", backup=True),
            resource("member", "v6", address="2001:db8::1"),
        ),
        HERE,
    ),
    "monitor-http": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool"),
            resource(
                "health_monitor",
                "hm",
                http_method="HEAD",
                url_path="/a'$b?c=;d&e=%20",
                expected_codes="200,202",
                http_version="1.1",
                domain_name="www.example.com",
                max_retries_down=4,
            ),
            resource("member", "m1", monitor_address="10.0.0.99", monitor_port=9000),
            resource("member", "v6", monitor_address="2001:db8::1:2"),
        ),
        HERE,
    ),
    "monitor-nameless": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool"),
            resource("health_monitor", "hm", http_version="1.1"),
            resource("member", "m1"),
        ),
        HERE,
    ),
    "monitor-tcp": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool"),
            resource("health_monitor", "hm", type="TCP"),
            resource("member", "m1"),
        ),
        HERE,
    ),
    "monitor-https": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool"),
            resource("health_monitor", "hm", type="HTTPS"),
            resource("member", "m1", monitor_port=8443),
        ),
        HERE,
    ),
    "monitor-by-agent": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool"),
            resource("health_monitor", "hm", type="PING"),
            resource("member", "m1", monitor_address="10.0.0.99", monitor_port=9000),
        ),
        HERE,
    ),
    "http2": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool", protocol_version="HTTP2"),
            resource("health_monitor", "hm"),
            resource("member", "m1"),
            resource("member", "m2", monitor_port=9000),
        ),
        HERE,
    ),
    "allowed-cidrs": (
        graph(resource("listener", "web", allowed_cidrs=(*(f"10.{n}.0.0/16" for n in range(25)), "fd00::/8"))),
        Placement(vips=("127.0.0.1",), proxy_address="127.0.0.2"),
    ),
    "udp": (
        graph(
            resource("listener", "web", protocol="UDP", connection_limit=9),
            resource("pool", "pool", protocol="UDP"),
            resource("member", "m1"),
        ),
        HERE,
    ),
    "monitor-off": (
        graph(
            resource("listener", "web"),
            resource("pool", "pool"),
            resource("health_monitor", "hm", admin_state_up=False),
            resource("member", "m1"),
        ),
        HERE,
    ),
    "shared-pool": (
        graph(
            resource("listener", "web", default_pool_id="pool"),
            resource(
                "listener", "alt", protocol="TCP", protocol_port=81, default_pool_id="pool", timeout_member_data=1000
            ),
            resource("pool", "pool", listener_id=None, loadbalancer_id="lb"),
            resource("member", "m1"),
        ),
        HERE,
    ),
}


CASES.update(tls.CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_renders_as_before(name: str, request: pytest.FixtureRequest) -> None:
    text = compose(render(*CASES[name]).configuration)
    path = GOLDEN / f"{name}.cfg"
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_haproxy_accepts_every_golden_file(tmp_path: Path) -> None:
    sockets = [
        f"    setenv {name} {tmp_path}/{name.lower()}.sock\n" for name in ("OCTAVIA_EXPORTER", "OCTAVIA_METRICS")
    ]
    global_section = f"global\n    stats socket {tmp_path}/stats.sock\n{''.join(sockets)}{tls.lay_out(tmp_path)}"
    for path in sorted(GOLDEN.glob("*.cfg")):
        config = tmp_path / path.name
        config.write_text(global_section + path.read_text())
        verdict = subprocess.run(["haproxy", "-c", "-q", "-f", config], capture_output=True, text=True, check=False)
        assert verdict.returncode == 0, f"{path.name}: {verdict.stderr}"
        assert "deprecated" not in verdict.stderr, f"{path.name}: {verdict.stderr}"


def test_every_golden_file_has_a_case() -> None:
    assert {p.stem for p in GOLDEN.glob("*.cfg")} == set(CASES)


def test_is_the_same_in_every_process() -> None:
    assert (
        hash_seeds.printed(
            "from unit.render.test_haproxy import CASES, compose, render\n"
            "for name, case in CASES.items(): print(name, compose(render(*case).configuration))"
        ).count("frontend ")
        > len(CASES) / 2
    )


def test_one_changed_weight_changes_one_line() -> None:
    before, after = web(), web()
    after.members["pool"]["m1"] = resource("member", "m1", address="10.0.0.11", weight=9)
    old = compose(render(before, HERE).configuration).splitlines()
    new = compose(render(after, HERE).configuration).splitlines()
    assert [line for line in new if line not in old] == ["    server m1 10.0.0.11:8080 weight 9"]
    assert len(old) == len(new)


def test_each_line_knows_its_owner() -> None:
    case, placement = CASES["monitor-http"]
    rendered = render(case, placement)
    owners = {}
    for number, line in enumerate(compose(rendered.configuration).splitlines(), start=1):
        owners[line.strip()] = rendered.owner(line=number)
    assert owners["maxconn 50000"] == "web"
    assert owners["balance roundrobin"] == "pool"
    assert owners["timeout check 2s"] == "hm"
    assert owners["timeout server 50000ms"] == "web"
    assert next(o for line, o in owners.items() if line.startswith("server m1")) == "m1"
    assert owners["frontend web"] == "web"
    assert owners["backend pool:web"] == "pool"
    assert owners["retries 3"] is None


def test_blame_by_name_where_no_line_is_known() -> None:
    rendered = render(web(), HERE)
    assert rendered.owner(server="m2", proxy="pool:web") == "m2"
    assert rendered.owner(proxy="pool:web") == "pool"
    assert rendered.owner(proxy="web") == "web"
    assert rendered.owner(proxy="nobody") is None


def test_server_numbers__many_members__each_its_own_place_whoever_else_comes_or_goes() -> None:
    members = [f"member-{number}" for number in range(3000)]
    places = numbers(members)
    assert len(set(places.values())) == 3000
    assert all(0 < number < 1 << 20 for number in places.values())
    fewer = numbers(members[1:])
    moved = sum(fewer[member] != places[member] for member in members[1:])
    assert moved <= 3, "a place that becomes free moves those alone that had been put beside it"


def test_sources__members_of_both_families__each_is_reached_from_the_address_of_its_own() -> None:
    here = Placement(vips=("10.0.0.9",), sources=("10.0.0.5", "fd00::5"))
    members = (resource("member", "m4"), resource("member", "m6", address="fd00::1"))
    rendered = render(graph(resource("listener", "web"), resource("pool", "pool"), *members), here)
    (backend,) = rendered.configuration.backends.values()
    assert [server.options.rpartition("source ")[2] for server in backend.servers.values()] == ["10.0.0.5", "fd00::5"]
