# SPDX-License-Identifier: Apache-2.0
"""PROMETHEUS listeners: what a scraper reads, by Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import pem

from .datagrams import make_udp_stack
from .installation import Installation, Stack, make_stack, until
from .tls_client import ask as ask_by_tls
from .tls_client import refused
from .traffic import fetch

CLOSE = {"delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 3}


def add_metrics(site: Installation, stack: Any, **values: Any) -> dict[str, Any]:
    listener = site.create(
        "listener", loadbalancer_id=stack.load_balancer["id"], name="metrics", protocol="PROMETHEUS",
        **{"protocol_port": 8088, **values},
    )  # fmt: skip
    assert listener["provisioning_status"] == "ACTIVE", listener
    return listener


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    names = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in names, f"{family.name} comes twice"
        assert family.documentation, family.name
        assert family.type in ("gauge", "counter"), family
        names.add(family.name)
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def scrape(url: str) -> list[tuple[str, dict[str, str], float]]:
    status, text, headers = fetch(url, "/metrics")
    assert status == 200, text
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return list(samples(text))


def value(found: list[tuple[str, dict[str, str], float]], name: str, **labels: str) -> float:
    values = [v for n, given, v in found if n == name and all(given.get(k) == w for k, w in labels.items())]
    assert len(values) == 1, (name, labels, values)
    return values[0]


@pytest.mark.covers("listener.protocol=PROMETHEUS", "listener.protocol_port")
def test_what_the_balancer_did_is_told_in_octavias_words(site: Installation) -> None:
    stack = make_stack(site, members=2, monitor={"type": "HTTP", **CLOSE})
    listener = add_metrics(site, stack)
    assert listener["url"].endswith(":8088/metrics")
    before = scrape(listener["url"])
    for _ in range(10):
        assert fetch(stack.url)[0] == 200
    web, pool = stack.listener["id"], stack.pool["id"]

    def responses(found: list[tuple[str, dict[str, str], float]]) -> float:
        return value(found, "octavia_listener_http_responses_total", listener=web, code="2xx")

    # counted when haproxy has done with a request, which may be after its client has
    after = until(lambda: responses(found := scrape(listener["url"])) >= responses(before) + 10 and found)
    assert after
    assert responses(after) == responses(before) + 10
    assert value(after, "octavia_loadbalancer_requests_total") >= 10
    assert value(after, "octavia_pool_active_members", pool=pool, listener=web) == 2
    for member in stack.members:
        named = {"pool": pool, "listener": web, "member": member["id"]}
        assert value(after, "octavia_member_status", **named, state="UP") == 1
        assert value(after, "octavia_member_weight", **named) == 1
        assert value(after, "octavia_member_http_responses_total", **named, code="2xx") >= 5
    objects = {web, pool, listener["id"], *(member["id"] for member in stack.members)}
    assert {v for _, labels, _ in after for n, v in labels.items() if n in ("listener", "pool", "member")} == objects
    assert all(name.startswith("octavia_") for name, _, _ in after)
    assert 0 < value(after, "octavia_loadbalancer_memory") < 100

    stack.tell("m1", "deaf")
    m1 = next(member["id"] for member in stack.members if member["name"] == "m1")
    until(lambda: value(scrape(listener["url"]), "octavia_member_status", member=m1, state="DOWN") == 1)


def test_nothing_but_metrics_is_there__and_it_has_no_pool(site: Installation) -> None:
    stack = make_stack(site, members=1)
    listener = add_metrics(site, stack)
    assert fetch(listener["url"], "/")[0] == 404
    assert fetch(listener["url"], "/metrics/../x")[0] == 404
    assert {n for n, _, _ in scrape(listener["url"])}
    assert listener["default_pool_id"] is None
    stack.change("listener", listener["id"], admin_state_up=False)
    with pytest.raises(ConnectionRefusedError):
        fetch(listener["url"], "/metrics")
    stack.change("listener", listener["id"], admin_state_up=True)
    assert scrape(listener["url"])
    site.delete("listener", listener["id"])
    assert fetch(stack.url)[0] == 200


def test_udp_is_counted_too(site: Installation) -> None:
    stack = make_udp_stack(site)
    listener = add_metrics(site, stack)
    stack.ask(20)
    dns = stack.listener["id"]
    until(lambda: value(scrape(listener["url"]), "octavia_listener_sessions_total", listener=dns) >= 20)
    assert value(scrape(listener["url"]), "octavia_listener_bytes_in_total", listener=dns) > 0


@pytest.mark.covers(
    "listener.protocol=PROMETHEUS", "listener.default_tls_container_ref", "listener.client_authentication=MANDATORY",
    "listener.client_ca_tls_container_ref",
)  # fmt: skip
def test_with_a_certificate__by_tls__for_those_alone_who_show_theirs(site: Installation) -> None:
    stack: Stack = make_stack(site, members=1)
    authority = pem.authority()
    pair, scraper = pem.make("a.test", authority), pem.make("prometheus", authority)
    served = site.create("tls_container", name="served", **pair.container())
    trusted = site.create("tls_container", name="trusted", ca_certificates=authority.pem)
    listener = add_metrics(
        site, stack, default_tls_container_ref=served["id"], client_authentication="MANDATORY",
        client_ca_tls_container_ref=trusted["id"], allowed_cidrs=["127.0.0.0/8"],
    )  # fmt: skip
    assert listener["url"].startswith("https://")
    seen = ask_by_tls(listener["url"], trust=authority, client=scraper, path="/metrics")
    assert (seen.status, seen.serial) == (200, pair.serial)
    assert list(samples(seen.body))
    assert refused(listener["url"])
