# SPDX-License-Identifier: Apache-2.0
"""Heat's resources ``OS::Octavia::*`` against a control plane in the catalogue: made, changed in place, deleted, as a stack."""

from __future__ import annotations

from typing import Any, Self

import pytest

from .serving import Served
from .waiting import until

Template = dict[str, Any]


def resource(kind: str, **properties: Any) -> Template:
    return {"type": f"OS::Octavia::{kind}", "properties": properties}


def ref(name: str) -> dict[str, str]:
    return {"get_resource": name}


def template(**resources: Template) -> Template:
    return {"heat_template_version": "2021-04-16", "resources": resources}


def web(subnet_id: str, **changed: Any) -> Template:
    """A load balancer with one of each kind. ``changed``: values that differ from the first version."""
    value = {
        "limit": 100,
        "weight": 1,
        "delay": 5,
        "path": "/a",
        "url": "http://a.test/",
        "algorithm": "ROUND_ROBIN",
    } | changed
    member = {"pool": ref("pool"), "protocol_port": 8000, "weight": value["weight"]}
    return template(
        web=resource("LoadBalancer", name="web", vip_subnet=subnet_id),
        http=resource(
            "Listener", loadbalancer=ref("web"), protocol="HTTP", protocol_port=80, connection_limit=value["limit"],
            allowed_cidrs=["127.0.0.0/8"],
        ),
        pool=resource(
            "Pool", listener=ref("http"), protocol="HTTP", lb_algorithm=value["algorithm"],
            session_persistence={"type": "HTTP_COOKIE"},
        ),
        one=resource("PoolMember", address="192.0.2.1", **member),
        two=resource("PoolMember", address="192.0.2.2", tags=["blue"], **member),
        monitor=resource(
            "HealthMonitor", pool=ref("pool"), type="HTTP", delay=value["delay"], timeout=2, max_retries=3, url_path="/up",
        ),
        away=resource("L7Policy", listener=ref("http"), action="REDIRECT_TO_URL", redirect_url=value["url"]),
        here=resource("L7Rule", l7policy=ref("away"), type="PATH", compare_type="STARTS_WITH", value=value["path"]),
    )  # fmt: skip


class Stack:
    """A stack of Heat, as a user has it."""

    def __init__(self, user: Any, name: str, wanted: Template) -> None:
        self._heat = user.orchestration
        self.id = self._heat.create_stack(name=name, template=wanted).id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._left():
            self._heat.delete_stack(self.id)
            until(lambda: not self._left(), what="the stack to be deleted")

    def until(self, status: str) -> str:
        """Until it has this status; why it has."""
        found = until(lambda: (one := self._heat.get_stack(self.id)).status.endswith(("_COMPLETE", "_FAILED")) and one)
        assert found.status == status, found.status_reason
        return str(found.status_reason)

    def ids(self) -> dict[str, str]:
        return {one.name: one.physical_resource_id for one in self._heat.resources(self.id)}

    def update(self, wanted: Template) -> None:
        self._heat.update_stack(self.id, template=wanted)
        until(lambda: self._heat.get_stack(self.id).status.startswith("UPDATE"))
        self.until("UPDATE_COMPLETE")

    def delete(self) -> None:
        self._heat.delete_stack(self.id)
        until(
            lambda: not [one for one in self._left() if one.status != "DELETE_FAILED"], what="the stack to be deleted"
        )
        assert not self._left(), self._left()

    def _left(self) -> list[Any]:
        return [one for one in self._heat.stacks() if one.id == self.id]


def offers(words: str) -> Template:
    """A flavor and an availability zone that are described so."""
    return template(
        size=resource("FlavorProfile", provider_name="amphora", flavor_data='{"loadbalancer_topology": "SINGLE"}'),
        small=resource("Flavor", name="small", flavor_profile=ref("size"), description=words),
        place=resource("AvailabilityZoneProfile", provider_name="amphora", availability_zone_data='{"compute_zone": "nova"}'),
        zone=resource("AvailabilityZone", name="zone", availability_zone_profile=ref("place"), description=words),
    )  # fmt: skip


QUOTA = template(quota=resource("Quota", project="admin", pool=5))


@pytest.mark.timeout(1200)
def test_a_users_stack_is_made_changed_in_place_and_deleted(served: Served) -> None:
    ann = served.users.connect("ann")
    balancers, subnet = ann.load_balancer, served.project.subnets["vips"]
    with Stack(ann, "web", web(subnet)) as stack:
        stack.until("CREATE_COMPLETE")
        made = stack.ids()
        balancer = balancers.get_load_balancer(made["web"])
        assert (balancer.provisioning_status, balancer.vip_subnet_id) == ("ACTIVE", subnet)
        assert [one.id for one in balancers.listeners(load_balancer_id=made["web"])] == [made["http"]]
        assert {one.weight for one in balancers.members(made["pool"])} == {1}
        stack.update(
            web(subnet, limit=200, weight=7, delay=9, path="/b", url="http://b.test/", algorithm="LEAST_CONNECTIONS")
        )
        assert stack.ids() == made, "all of it is changed in place"
        assert balancers.get_listener(made["http"]).connection_limit == 200
        assert {one.weight for one in balancers.members(made["pool"])} == {7}
        assert balancers.get_health_monitor(made["monitor"]).delay == 9
        assert balancers.get_pool(made["pool"]).lb_algorithm == "LEAST_CONNECTIONS"
        assert balancers.get_l7_policy(made["away"]).redirect_url == "http://b.test/"
        assert balancers.get_l7_rule(made["here"], made["away"]).rule_value == "/b"
        stack.delete()
    assert list(balancers.load_balancers()) == []
    served.project.until_empty()


def test_an_operators_stack_of_flavors_and_zones(served: Served) -> None:
    root = served.users.connect("root")
    balancers = root.load_balancer
    with Stack(root, "offers", offers("one")) as stack:
        stack.until("CREATE_COMPLETE")
        made = stack.ids()
        assert balancers.get_flavor(made["small"]).description == "one"
        assert balancers.get_availability_zone("zone").availability_zone_profile_id == made["place"]
        stack.update(offers("two"))
        assert stack.ids() == made
        shown = [balancers.get_flavor(made["small"]), balancers.get_availability_zone("zone")]
        assert [one.description for one in shown] == 2 * ["two"]
        stack.delete()
    assert [*balancers.flavors(), *balancers.flavor_profiles()] == []
    assert [*balancers.availability_zones(), *balancers.availability_zone_profiles()] == []
    with Stack(
        root, "quota", QUOTA
    ) as stack:  # Heat gives python-octaviaclient what this does not take, and calls nobody
        assert "unexpected keyword argument" in stack.until("CREATE_FAILED")


def test_these_are_all_of_heats_kinds(served: Served) -> None:
    """Heat lists none where the catalogue has no load balancer service."""
    types = served.users.connect("root").orchestration.get("/resource_types").json()["resource_types"]
    names = {one if isinstance(one, str) else one["resource_type"] for one in types}
    used = [one["type"] for made in (web("a subnet"), offers("one"), QUOTA) for one in made["resources"].values()]
    assert {name for name in names if name.startswith("OS::Octavia::")} == {*used}
