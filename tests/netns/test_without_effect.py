# SPDX-License-Identifier: Apache-2.0
"""What is taken though it has no effect comes into force, and harms nobody; null takes a listener's pool away."""

from __future__ import annotations

from typing import Any

from .installation import Installation, ask, make_stack, until

IDLE_TLS = {"tls_versions": [], "alpn_protocols": ["h2", "h2"], "tls_ciphers": "AES128-SHA"}
CHECK = {"max_retries": 1, "timeout": 9, "delay": 1}


def settled(site: Installation, kind: str, **values: Any) -> dict[str, Any]:
    made = site.create(kind, **values)
    assert (made["provisioning_status"], made["provisioning_error"]) == ("ACTIVE", None), (kind, made)
    return made


def test_what_has_no_effect_comes_into_force(site: Installation) -> None:
    stack = make_stack(site, members=1)
    site.update(
        "listener", stack.listener["id"], **IDLE_TLS, insert_headers={"X-Forwarded-For": "True", "X-Real-IP": "no"}
    )
    until(lambda: ask(stack.url)[0] == 200, what="an answer")
    lb = stack.load_balancer["id"]
    http = {"type": "HTTP", "http_version": "1.1", "domain_name": "a.example.", "expected_codes": "200 , 204", **CHECK}
    settled(site, "health_monitor", pool_id=stack.pool["id"], **http)
    until(lambda: stack.member("m1")["operating_status"] == "ONLINE", what="a check that is answered")
    policy = settled(
        site, "l7_policy", listener_id=stack.listener["id"], action="REJECT", redirect_url="http://a.example"
    )
    keyed = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/no", "key": "k"}
    rule = site.create("l7_rule", parent=policy["id"], **keyed)
    assert rule["provisioning_status"] == "ACTIVE"
    assert [ask(f"{stack.url}{path}")[0] for path in ("/yes", "/no")] == [200, 403]

    datagrams = settled(site, "pool", loadbalancer_id=lb, protocol="UDP", lb_algorithm="ROUND_ROBIN", **IDLE_TLS)
    for address in ("10.9.9.8", "fd00::8"):
        member = site.create("member", parent=datagrams["id"], address=address, protocol_port=53)
        assert member["provisioning_status"] == "ACTIVE", "also of a family that no VIP has"
    settled(
        site,
        "listener",
        loadbalancer_id=lb,
        protocol="UDP",
        protocol_port=53,
        default_pool_id=datagrams["id"],
        **IDLE_TLS,
    )
    quiet = {"type": "UDP-CONNECT", "http_version": "1.0", **CHECK, "delay": 3}
    settled(site, "health_monitor", pool_id=datagrams["id"], **quiet)
    settled(site, "listener", loadbalancer_id=lb, protocol="PROMETHEUS", protocol_port=9000, **IDLE_TLS)

    without = site.update("listener", stack.listener["id"], default_pool_id=None)
    assert without["default_pool_id"] is None
    assert ask(f"{stack.url}/yes")[0] == 503, "no pool, though one names the listener"
    site.update("listener", stack.listener["id"], default_pool_id=stack.pool["id"])
    assert ask(f"{stack.url}/yes")[0] == 200
