# SPDX-License-Identifier: Apache-2.0
"""What checks say: in the protocol that the member has chosen, and in words that a server which keeps to the standards takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import pem

from .installation import Installation, ask, until

pytestmark = pytest.mark.timeout(300)

MEMBER = Path(__file__).with_name("strict_member.py").read_text()
PACKAGES = ":".join(entry for entry in sys.path if entry.endswith("-packages"))  # h2 is there; what is named is shown
TELL = "import sys, urllib.request as u; print(u.urlopen('http://%s:81/' % sys.argv[1], timeout=20).read().decode())"
OFTEN = {"delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
ALPNS = {"h2": "h2", "h1": "http/1.1", "both": "h2,http/1.1"}
ENOUGH = 3


@dataclass
class Strict:
    """Strict members, and a balancer with a listener for each pool that is checked."""

    site: Installation
    network: dict[str, Any]
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def host(self, name: str, **environment: str) -> None:
        made = self.site.create(
            "local_host", name=name, network_id=self.network["id"], command=["python3", "-c", MEMBER], user="root",
            environment={"NAME": name, "PYTHONPATH": PACKAGES, **environment},
        )  # fmt: skip
        assert made["provisioning_status"] == "ACTIVE", made
        self.hosts[name] = made

    def member(self, host: str, port: int, *, address: str = "address", **more: Any) -> dict[str, Any]:
        return {"name": host, "address": self.hosts[host][address], "protocol_port": port, **more}

    def balancer(self, pools: Mapping[str, dict[str, Any]]) -> None:
        """In one call; a pool may say which protocol its listener has."""
        listeners = [
            {"name": name, "protocol": pool.pop("listener", "HTTP"), "protocol_port": 1000 + number, "default_pool": {
                "name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **pool,
            }} for number, (name, pool) in enumerate(pools.items())
        ]  # fmt: skip
        made = self.site.create("load_balancer", name="lb", vip_network_id=self.network["id"], listeners=listeners)
        assert made["provisioning_status"] == "ACTIVE", made
        for one in made["listeners"]:
            listener = self.site.get("listener", one["id"])
            self.urls[listener["name"]] = listener["url"]
            self.pools[listener["name"]] = self.site.get("pool", listener["default_pool_id"])

    def seen(self, host: str, path: str) -> list[dict[str, Any]]:
        """The checks of this path that a member has seen."""
        done = self.site.inside("python3", "-c", TELL, self.hosts[host]["address"])
        found = json.loads(done.stdout) if done.returncode == 0 else []
        return [one for one in found if one["path"] == path]

    def checked(self, host: str, path: str) -> list[dict[str, Any]]:
        """The same, once there are some."""
        return until(
            lambda: len(found := self.seen(host, path)) >= ENOUGH and found, what=f"checks of {path} at {host}"
        )

    def statuses(self, pool: str) -> dict[str, str]:
        """Member → operating status."""
        id_ = self.pools[pool]["id"]
        found = (self.site.get("member", one["id"], parent=id_) for one in self.pools[pool]["members"])
        return {one["name"]: one["operating_status"] for one in found}

    def well(self, pools: Iterable[str]) -> None:
        """No member of these is unwell, and each answers clients; but a busy machine may be late for a check or two."""
        for name in pools:
            until(lambda name=name: set(self.statuses(name).values()) == {"ONLINE"}, what=f"all to be well in {name}")  # type: ignore[misc]
            if self.urls[name].startswith("http:"):
                until(lambda name=name: self.served(name), what=f"every member of {name} to answer")  # type: ignore[misc]

    def served(self, pool: str) -> bool:
        """Whether each member answers, and nobody else."""
        members = set(self.statuses(pool))
        return {ask(self.urls[pool]) for _ in range(2 * len(members))} == {(200, member) for member in members}


@pytest.fixture
def strict(site: Installation) -> Strict:
    return Strict(site, site.create("local_network", name="net", ipv6_cidr="fd12:3456:789a:1::/64"))


@pytest.mark.covers(
    "health_monitor.type=HTTP", "health_monitor.type=HTTPS", "health_monitor.type=TCP", "health_monitor.type=TLS-HELLO",
    "health_monitor.domain_name", "pool.protocol_version=HTTP2", "pool.tls_enabled", "pool.alpn_protocols=h2", "pool.alpn_protocols=http/1.1",
)  # fmt: skip
def test_members_by_tls__each_is_checked_in_the_protocol_that_it_chooses(strict: Strict) -> None:
    pair = pem.make("m.test")
    for name, alpn in ALPNS.items():
        strict.host(name, PAIR=pair.pem + pair.key_pem, ALPN=alpn)
    strict.host("proxied", PAIR=pair.pem + pair.key_pem, ALPN="h2,http/1.1", PROXY="1")
    members = [strict.member(name, 8443) for name in ALPNS]
    pools: dict[str, dict[str, Any]] = {
        f"{type_}-{version}": {
            "members": members, "tls_enabled": True,
            "healthmonitor": {**OFTEN, "type": type_, "url_path": f"/{type_}/{version}", "http_version": version},
        } for type_ in ("HTTP", "HTTPS") for version in ("1.0", "1.1")
    }  # fmt: skip
    for type_ in ("TCP", "TLS-HELLO"):
        pools[type_] = {"members": members, "tls_enabled": True, "healthmonitor": {**OFTEN, "type": type_}}
    https = {**OFTEN, "type": "HTTPS", "http_version": "1.1"}
    pools["passed"] = {  # TLS goes through to the members
        "listener": "HTTPS", "protocol": "HTTPS", "members": members,
        "healthmonitor": {**https, "url_path": "/passed", "domain_name": "passed.test"},
    }  # fmt: skip
    pools["elsewhere"] = {
        "members": [{**one, "monitor_port": 9443} for one in members], "tls_enabled": True,
        "healthmonitor": {**https, "url_path": "/elsewhere"},
    }  # fmt: skip
    pools["clear"] = {
        "members": [{**one, "monitor_port": 8080} for one in members], "tls_enabled": True,
        "healthmonitor": {**https, "type": "HTTP", "url_path": "/clear"},
    }  # fmt: skip
    pools["proxied"] = {
        "protocol": "PROXY", "tls_enabled": True, "members": [strict.member("proxied", 8443)],
        "healthmonitor": {**https, "url_path": "/proxied"},
    }  # fmt: skip
    pools["stream"] = {"listener": "TCP", **pools["HTTPS-1.1"], "healthmonitor": {**https, "url_path": "/stream"}}
    pools["old"] = {**pools["HTTP-1.0"], "members": members[1:], "alpn_protocols": ["http/1.1"]}
    http2 = {
        "protocol_version": "HTTP2",
        "healthmonitor": {**https, "type": "HTTP", "http_version": "1.0", "url_path": "/prior"},
    }
    unasked = [strict.member(name, 8082) for name in ALPNS]
    pools["prior"] = {**http2, "members": unasked}
    pools["prior stream"] = {"listener": "TCP", **pools["prior"]}
    pools["prior elsewhere"] = {**http2, "members": [{**one, "monitor_port": 8080} for one in unasked]}
    pools["prior https"] = {
        "protocol_version": "HTTP2", "members": [{**one, "monitor_port": 8443} for one in unasked[1:]],
        "healthmonitor": {**https, "url_path": "/prior/https"},
    }  # fmt: skip
    pools["only"] = {
        "protocol_version": "HTTP2", "members": [members[0], members[2]], "tls_enabled": True,
        "healthmonitor": {**https, "url_path": "/only"},
    }  # fmt: skip
    strict.balancer(pools)
    added = strict.site.create(  # at run time
        "member", parent=strict.pools["proxied"]["id"], **strict.member("proxied", 9443)
    )
    assert added["provisioning_status"] == "ACTIVE", added

    spoken = {"h2": "2", "h1": "1.1", "both": "2"}
    for name, version in spoken.items():
        address = strict.hosts[name]["address"]
        for path, host, port in (
            ("/HTTP/1.1", f"{address}:8443", 8443), ("/HTTPS/1.1", f"{address}:8443", 8443), ("/passed", "passed.test", 8443),
            ("/elsewhere", f"{address}:9443", 9443), ("/stream", f"{address}:8443", 8443),
        ):  # fmt: skip
            one = strict.checked(name, path)[-1]
            assert (one["version"], one["hosts"], one["port"], one["status"]) == (version, [host], port, 200), (
                name,
                path,
            )
        assert strict.checked(name, "/HTTP/1.0")[-1]["status"] == 200
        assert strict.checked(name, "/passed")[-1]["sni"] == "passed.test"
        one = strict.checked(name, "/clear")[-1]
        assert (one["version"], one["hosts"]) == ("1.1", [f"{address}:8080"])
    assert strict.checked("h1", "/HTTP/1.0")[-1]["version"] == "1.0"
    for name in ALPNS:
        until(lambda name=name: {(one["version"], one["port"]) for one in strict.seen(name, "/prior")} >= {
            ("2", 8082), ("1.0", 8080)}, what="checks by HTTP/2 in the clear, and of another port")  # type: ignore[misc] # fmt: skip
    assert strict.checked("both", "/prior/https")[-1]["version"] == "1.1"
    assert strict.checked("both", "/only")[-1]["version"] == "2"
    ports = {8443, 9443}
    until(lambda: {one["port"] for one in strict.seen("proxied", "/proxied")} == ports, what="checks of the new member")
    assert all(one["proxy"] and one["version"] == "2" for one in strict.seen("proxied", "/proxied"))
    strict.well(pools)


@pytest.mark.covers(
    "health_monitor.http_version=1.0", "health_monitor.http_version=1.1", "health_monitor.http_method=POST",
    "health_monitor.http_method=PUT", "health_monitor.http_method=PATCH", "member.monitor_port", "member.monitor_address",
)  # fmt: skip
def test_without_a_domain_name__the_member_is_named_by_its_address(strict: Strict) -> None:
    strict.host("m")
    strict.host("proxied", PROXY="1")
    four, six = strict.hosts["m"]["address"], strict.hosts["m"]["ipv6_address"]
    places: dict[str, tuple[dict[str, Any], list[str]]] = {
        "/80": (strict.member("m", 80), [four]),
        "/8080": (strict.member("m", 8080), [f"{four}:8080"]),
        "/six": (strict.member("m", 80, address="ipv6_address"), [f"[{six}]"]),
        "/six/8080": (strict.member("m", 8080, address="ipv6_address"), [f"[{six}]:8080"]),
        "/port": (strict.member("m", 80, monitor_port=8080), [f"{four}:8080"]),
        "/address": (strict.member("m", 8080, monitor_address=six), [f"[{six}]:8080"]),
    }
    asks = {**OFTEN, "type": "HTTP", "http_version": "1.1"}
    pools: dict[str, dict[str, Any]] = {
        path: {"members": [member], "healthmonitor": {**asks, "url_path": path}} for path, (member, _) in places.items()
    }
    for method in ("POST", "PUT", "PATCH", "OPTIONS", "HEAD"):
        monitor = {**asks, "url_path": f"/{method}", "http_method": method}
        pools[f"/{method}"] = {"members": [places["/80"][0]], "healthmonitor": monitor}
        pools[f"/udp/{method}"] = {
            "listener": "UDP", "protocol": "UDP", "members": [strict.member("m", 8080)],
            "healthmonitor": {**monitor, "url_path": f"/udp/{method}"},
        }  # fmt: skip
    pools["/old"] = {"members": [places["/80"][0]], "healthmonitor": {**OFTEN, "type": "HTTP", "url_path": "/old"}}
    strict.balancer(pools)
    proxied = strict.site.create(
        "pool", loadbalancer_id=strict.pools["/80"]["loadbalancers"][0]["id"], protocol="PROXY", lb_algorithm="ROUND_ROBIN",
        healthmonitor={**asks, "url_path": "/proxied"}, members=[strict.member("proxied", 80)],
    )  # fmt: skip
    listener = next(one["id"] for one in strict.pools["/80"]["listeners"])
    strict.site.update("listener", listener, default_pool_id=proxied["id"])
    strict.site.create("member", parent=proxied["id"], **strict.member("proxied", 8080))  # at run time

    for path, (_, hosts) in places.items():
        if path != "/80":
            one = strict.checked("m", path)[-1]
            assert (one["version"], one["hosts"], one["status"]) == ("1.1", hosts, 200), path
    for method in ("POST", "PUT", "PATCH", "OPTIONS", "HEAD"):
        assert strict.checked("m", f"/{method}")[-1]["hosts"] == [four]
        assert strict.checked("m", f"/udp/{method}")[-1]["hosts"] == [f"{four}:8080"]
    old = strict.checked("m", "/old")[-1]
    assert (old["version"], old["hosts"]) == ("1.0", [])
    until(lambda: {one["port"] for one in strict.seen("proxied", "/proxied")} == {80, 8080}, what="both to be checked")
    strict.well(path for path in pools if path != "/80")
