# SPDX-License-Identifier: Apache-2.0
"""octavia-dashboard in OpenStack's web page, by a real browser: a user's load balancer from the wizard to its deletion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .horizon import Browser, horizon
from .project import PASSWORD
from .serving import Served
from .waiting import until

MEMBERS = ["192.0.2.1", "192.0.2.2"]


@pytest.mark.timeout(1200)
def test_a_user_makes_a_load_balancer_changes_it_and_deletes_it(served: Served, tmp_path: Path) -> None:
    ann: Any = served.users.connect("ann").load_balancer
    login = json.loads(served.users.clouds_file.read_text())["clouds"]["ann"]["auth"]
    with horizon(login["auth_url"], tmp_path) as url:
        browser = Browser(url, tmp_path, login["username"], PASSWORD)
        browser(
            "create",
            name="web",
            cidr=served.project.cidrs["vips"],
            members=MEMBERS,
            members_subnet=served.project.subnets["members"],
            port=80,
        )
        row = browser("wait", name="web", status="Active")
        (made,) = ann.load_balancers()
        assert made.vip_address in row
        assert made.vip_subnet_id == served.project.subnets["vips"]
        # the dashboard makes all but the load balancer in a thread of its own, one after the other
        until(
            lambda: [one for one in ann.listeners(load_balancer_id=made.id) if one.default_pool_id], what="the listener"
        )
        (listener,) = ann.listeners(load_balancer_id=made.id)
        pool = ann.get_pool(listener.default_pool_id)
        assert (listener.protocol, listener.protocol_port, pool.lb_algorithm) == ("HTTP", 80, "ROUND_ROBIN")
        until(lambda: sorted(one.address for one in ann.members(pool.id)) == MEMBERS, what="the members")
        until(lambda: [one.type for one in ann.health_monitors(pool_id=pool.id)] == ["HTTP"], what="the health monitor")
        browser("describe", name="web", description="changed")
        until(lambda: ann.get_load_balancer(made.id).description == "changed", what="the description")
        assert {"HTTP", "80", "Active"} <= {*browser("listeners", name="web")}
        browser("delete", name="web")
        until(lambda: list(ann.load_balancers()) == [], what="its end")
    served.project.until_empty()
