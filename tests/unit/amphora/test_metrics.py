# SPDX-License-Identifier: Apache-2.0
"""haproxy's metrics in Octavia's words."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from octavia_amphora.metrics import names
from octavia_amphora.wire.config import Backend, Configuration, Datagrams, Frontend
from octavia_amphora.wire.messages import Counters, ListenerState, States

SAID = """\
# HELP haproxy_process_requests_total Total number of requests.
# TYPE haproxy_process_requests_total counter
haproxy_process_requests_total 7
# HELP haproxy_process_pool_used_bytes Memory in use (haproxy_process_pool_used_bytes).
# TYPE haproxy_process_pool_used_bytes gauge
haproxy_process_pool_used_bytes 9
# HELP haproxy_frontend_bytes_in_total Bytes.
# TYPE haproxy_frontend_bytes_in_total counter
haproxy_frontend_bytes_in_total{proxy="web"} 11
haproxy_frontend_bytes_in_total{proxy="octavia-exporter"} 12
# HELP haproxy_backend_active_servers Servers.
# TYPE haproxy_backend_active_servers gauge
haproxy_backend_active_servers{proxy="pool:web"} 2
haproxy_backend_active_servers{proxy="octavia-metrics"} 1
# HELP haproxy_server_status Status.
# TYPE haproxy_server_status gauge
haproxy_server_status{proxy="pool:web",server="m1",state="UP"} 1
"""
CONFIGURATION = Configuration(
    "lb",
    "",
    {"web": Frontend("web", ""), "dns": Frontend("dns", "", datagrams=Datagrams())},
    {"pool:web": Backend("pool:web", "pool", "")},
)


def test_names_and_labels_are_octavias__and_what_is_nobodys_is_left_out() -> None:
    told = names.translate(SAID, CONFIGURATION, None).splitlines()
    assert [line for line in told if not line.startswith("#")] == [
        "octavia_loadbalancer_requests_total 7",
        "octavia_memory_pool_used_bytes 9",
        'octavia_listener_bytes_in_total{listener="web"} 11',
        'octavia_pool_active_members{pool="pool",listener="web"} 2',
        'octavia_member_status{pool="pool",listener="web",member="m1",state="UP"} 1',
    ]
    assert not any("haproxy" in line for line in told)


def test_udp_stands_in_the_families_of_the_other_listeners() -> None:
    states = States(
        "lb", "", serving=True, listeners={"web": ListenerState(), "dns": ListenerState("open", Counters(bytes_in=5))}
    )
    families = {f.name: f for f in text_string_to_metric_families(names.translate(SAID, CONFIGURATION, states))}
    found = {s.labels["listener"]: s.value for s in families["octavia_listener_bytes_in"].samples}
    assert found == {"web": 11, "dns": 5}


def test_gauges_are_prometheus_text() -> None:
    (family,) = text_string_to_metric_families(names.gauges({"a_b": ("What it is.", 0.25)}))
    assert (family.name, family.type, family.documentation, family.samples[0].value) == (
        "a_b", "gauge", "What it is.", 0.25,
    )  # fmt: skip
