# SPDX-License-Identifier: Apache-2.0
"""Octavia's own templater, in a virtual environment that has the PyPI package ``octavia`` and nothing of ours.

``python -I octavia_templater.py``: the first line of the standard input is a JSON object of balancers by name (see
``balancers.py``); each further line is a name, answered by a line of JSON with the milliseconds that rendering took and
the length of the text; ``NAME PATH`` writes the text to that file too. Octavia builds its database objects before it
renders; here they are plain objects with the same attributes, whose reading costs less.
"""

import json
import sys
import time
from types import SimpleNamespace as Thing

from octavia.common.jinja.haproxy.combined_listeners.jinja_cfg import JinjaTemplater

VERSIONS = ("2", "6")


def pool(plain):
    monitor = plain["monitor"]
    return Thing(
        id=plain["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN", enabled=True, operating_status="ONLINE",
        provisioning_status="ACTIVE", tls_enabled=False, tls_certificate_id=None, ca_tls_certificate_id=None,
        crl_container_id=None, tls_ciphers=None, tls_versions=None, alpn_protocols=None, session_persistence=None,
        health_monitor=Thing(
            id=monitor["id"], type="HTTP", delay=monitor["delay"], timeout=monitor["timeout"],
            fall_threshold=monitor["fall"], rise_threshold=monitor["rise"], http_method="GET",
            url_path=monitor["path"], expected_codes=monitor["codes"], enabled=True, http_version=1.0,
            domain_name=None, provisioning_status="ACTIVE",
        ),
        members=[
            Thing(
                id=one["id"], ip_address=one["address"], protocol_port=one["port"], weight=one["weight"], enabled=True,
                subnet_id=None, operating_status="ONLINE", provisioning_status="ACTIVE", monitor_address=None,
                monitor_port=None, backup=False,
            )
            for one in plain["members"]
        ],
    )  # fmt: skip


def policy(plain, pools):
    action = plain["action"]
    return Thing(
        id=plain["id"], action=action, enabled=True, provisioning_status="ACTIVE", redirect_http_code=None,
        redirect_url=plain["target"] if action == "REDIRECT_TO_URL" else None,
        redirect_prefix=plain["target"] if action == "REDIRECT_PREFIX" else None,
        redirect_pool=pools[1] if action == "REDIRECT_TO_POOL" else None,
        l7rules=[
            Thing(
                id=rule["id"], type=rule["type"], compare_type=rule["compare"], key=rule["key"], value=rule["value"],
                invert=rule["invert"], enabled=True, provisioning_status="ACTIVE",
            )
            for rule in plain["rules"]
        ],
    )  # fmt: skip


def listener(plain, balancer):
    pools = [pool(one) for one in plain["pools"]]
    return Thing(
        id=plain["id"], protocol="HTTP", protocol_port=plain["port"], load_balancer=balancer, peer_port=1025,
        connection_limit=-1, insert_headers={}, enabled=True, provisioning_status="ACTIVE", pools=pools,
        default_pool=pools[0], l7policies=[policy(one, pools) for one in plain["policies"]],
        timeout_client_data=50000, timeout_member_connect=5000, timeout_member_data=50000, timeout_tcp_inspect=0,
        tls_certificate_id=None, client_ca_tls_certificate_id=None, client_crl_container_id=None, hsts_max_age=None,
    )  # fmt: skip


def balancer(plain):
    amphora = Thing(
        id="amphora", lb_network_ip="10.0.1.1", vrrp_ip="10.1.1.1", ha_ip=plain["vip"], vrrp_port_id="1", ha_port_id="2",
        role="STANDALONE", status="ALLOCATED", vrrp_interface=None, vrrp_priority=None,
    )  # fmt: skip
    made = Thing(
        id=plain["id"], project_id="project", vip=Thing(ip_address=plain["vip"]), additional_vips=[],
        topology="SINGLE", enabled=True, amphorae=[amphora],
    )  # fmt: skip
    made.listeners = [listener(one, made) for one in plain["listeners"]]
    return made


def main():
    subjects = {name: balancer(plain) for name, plain in json.loads(sys.stdin.readline()).items()}
    templater = JinjaTemplater(connection_logging=False)
    print(json.dumps({"ready": sorted(subjects)}), flush=True)
    for line in sys.stdin:
        name, _, path = line.strip().partition(" ")
        subject = subjects[name]
        began = time.perf_counter()
        text = templater.build_config(
            host_amphora=subject.amphorae[0], listeners=subject.listeners, tls_certs=None, haproxy_versions=VERSIONS,
            amp_details=None,
        )  # fmt: skip
        taken = (time.perf_counter() - began) * 1000
        if path:
            with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
                file.write(text)
        print(json.dumps({"ms": taken, "length": len(text)}), flush=True)


main()
