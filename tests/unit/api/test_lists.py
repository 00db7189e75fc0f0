# SPDX-License-Identifier: Apache-2.0
"""Lists: filters, tags, fields, order, pages."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from across import PAIR, Ref, resolved
from octavia_provider.api import list_query
from octavia_provider.api.lazy_view import LazyView, plain
from octavia_provider.api.quotas import OLDER
from octavia_provider.api.rules import found
from octavia_provider.api.views import View, shown_names
from octavia_provider.model.errors import Invalid
from octavia_provider.model.kinds import KINDS
from octavia_provider.ports import Transaction
from octavia_provider.store import rows
from unit.api.settling import BASE, Plane

Things = list[dict[str, Any]]


def thing(i: int, **more: Any) -> dict[str, Any]:
    return {"id": f"id-{i}", "name": f"n{i}", "tags": [], "admin_state_up": True, "weight": i, "pools": [], **more}


def names(objects: Things, query: str) -> list[str]:
    return [t["name"] for t in list_query.page(objects, "things", URL(f"http://o/v2/things?{query}"))["things"]]


THINGS = [
    thing(0, tags=["red", "big"], description=None),
    thing(1, tags=["red"], admin_state_up=False, pools=[{"id": "p"}], description="x"),
    thing(2, tags=["blue"], name="n0", description="x"),
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=n0", [0, 2]),
        ("name=n0&name=n1", [0, 1, 2]),
        ("admin_state_up=False", [1]),
        ("admin_state_up=true", [0, 2]),
        ("weight=1", [1]),
        ("pools=p", [1]),
        ("description=null", [0]),
        ("tags=red,big", [0]),
        ("tags-any=big,blue", [0, 2]),
        ("not-tags=red,big", [1, 2]),
        ("not-tags-any=big,blue", [1]),
        ("tags=red&not-tags=big", [1]),
        ("name=n0&tags=blue", [2]),
    ],
)
def test_filters(query: str, expected: list[int]) -> None:
    page = list_query.page(list(THINGS), "things", URL(f"http://o/things?{query}"))
    assert [t["weight"] for t in page["things"]] == expected


def test_order() -> None:
    assert names(THINGS, "sort=name:desc,weight:asc") == ["n1", "n0", "n0"]
    page = list_query.page(
        list(THINGS), "things", URL("http://o/t?sort_key=name&sort_dir=asc&sort_key=weight&sort_dir=desc")
    )
    assert [t["weight"] for t in page["things"]] == [2, 0, 1]
    page = list_query.page(list(THINGS), "things", URL("http://o/t?sort=description:desc"))
    assert [t["weight"] for t in page["things"]][2] == 0


@pytest.mark.parametrize(
    "query", ["colour=red", "sort=colour", "sort=name:up", "fields=zz", "limit=-1", "limit=x", "marker=nobody"]
)
def test_what_makes_no_sense_is_refused(query: str) -> None:
    with pytest.raises(Invalid):
        names(THINGS, query)


@pytest.mark.parametrize("query", ["fields=id,name", "fields=id&fields=name"])
def test_fields(query: str) -> None:
    page = list_query.page([thing(1)], "things", URL(f"http://o/things?{query}"))
    assert page["things"] == [{"id": "id-1", "name": "n1"}]


@given(count=st.integers(0, 30), limit=st.integers(1, 12))
def test_pages_forwards_and_backwards_show_everything_once(count: int, limit: int) -> None:
    things = [thing(i) for i in range(count)]
    seen: list[list[str]] = []
    url: URL | None = URL(f"http://o/v2/things?limit={limit}&sort=weight:desc")
    last = url
    while url is not None:
        page = list_query.page(things, "things", url)
        last, seen = url, [*seen, [t["id"] for t in page["things"]]]
        url = next((URL(k["href"]) for k in page.get("things_links", ()) if k["rel"] == "next"), None)
    assert [i for ids in seen for i in ids] == [f"id-{i}" for i in reversed(range(count))]
    back: list[list[str]] = []
    url = last
    while url is not None:
        page = list_query.page(things, "things", url)
        back = [[t["id"] for t in page["things"]], *back]
        url = next((URL(k["href"]) for k in page.get("things_links", ()) if k["rel"] == "previous"), None)
    assert [i for ids in back for i in ids] == [i for ids in seen for i in ids]


async def test_lists_through_the_api(plane: Plane) -> None:
    one, two = await plane.balancer("one"), await plane.balancer("two")
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    for name, lb in (("a", one), ("b", one), ("c", two)):
        await plane.make("pool", name=name, loadbalancer_id=lb["id"], tags=[name], **pool)

    async def listed(query: str) -> list[str]:
        return [p["name"] for p in (await plane.call("GET", f"/lbaas/pools?{query}")).body["pools"]]

    assert await listed("") == ["a", "b", "c"]
    assert await listed(f"loadbalancer_id={one['id']}") == ["a", "b"]
    assert await listed(f"load_balancer_id={two['id']}") == ["c"]
    assert await listed("tags-any=a,c&sort=name:desc") == ["c", "a"]
    assert await listed("provisioning_status=ACTIVE&limit=2") == ["a", "b"]
    assert await listed("name=nobody") == []
    first = await plane.call("GET", "/lbaas/pools?limit=2")
    (link,) = first.body["pools_links"]
    assert link["rel"] == "next"
    assert link["href"].startswith(f"{BASE}/lbaas/pools?")
    rest = await plane.call("GET", link["href"])
    assert [p["name"] for p in rest.body["pools"]] == ["c"]
    shown = await plane.call("GET", f"/lbaas/loadbalancers/{one['id']}?fields=name")
    assert shown.body == {"loadbalancer": {"name": "one"}}
    assert (await plane.call("GET", f"/lbaas/pools/{uuid.uuid4()}/members")).status == 404


SHOWN: dict[str, dict[str, Any]] = {
    "load_balancer": {"vip_network_id": Ref("local_network")}, "local_network": {}, "local_host": {"network_id": Ref("local_network"), "command": ["true"]},
    "listener": {"loadbalancer_id": Ref("load_balancer"), "protocol": "HTTP", "protocol_port": 80},
    "pool": {"listener_id": Ref("listener"), "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"},
    "member": {"pool_id": Ref("pool"), "address": "10.1.0.9", "protocol_port": 80},
    "health_monitor": {"pool_id": Ref("pool"), "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2},
    "l7_policy": {"listener_id": Ref("listener"), "action": "REJECT"},
    "l7_rule": {"l7policy_id": Ref("l7_policy"), "type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"},
    "tls_container": {"certificate": PAIR.container()["certificate"], "private_key": PAIR.container()["private_key"]},
    "amphora_group": {"size": 1, "capacity": 2},
    "flavor_profile": {"provider_name": "amphora", "flavor_data": "{}"}, "flavor": {"flavor_profile_id": Ref("flavor_profile")},
    "availability_zone_profile": {"provider_name": "amphora", "availability_zone_data": "{}"},
    "availability_zone": {"availability_zone_profile_id": Ref("availability_zone_profile")},
}  # fmt: skip


async def test_what_may_be_asked_for_is_what_is_shown(plane: Plane) -> None:
    ids: dict[str, str] = {}
    order = [
        "local_network",
        "load_balancer",
        *(kind for kind in SHOWN if kind not in ("local_network", "load_balancer")),
    ]
    for kind in order:
        made = await plane.make(kind, name=kind, **resolved(SHOWN[kind], ids))
        ids[kind] = made["id"]
        assert set(made) == set(shown_names(kind)), kind
        await lazily(plane, kind, made["id"])
    assert {*SHOWN, "quota"} == set(KINDS)
    quota = (await plane.call("GET", "/lbaas/quotas/demo")).body["quota"]
    assert set(quota) == {*shown_names("quota"), *OLDER}


async def lazily(plane: Plane, kind: str, id_: str) -> None:
    """Each name by itself is shown as the whole shows it, in both forms."""

    def work(tx: Transaction) -> None:
        record = found(tx, kind, id_)
        assert record is not None
        for model in (False, True):
            view = View(tx, plane.status_cache, "cp", model=model)
            whole = view.show(record)
            assert {name: LazyView.of(view, record)[name] for name in whole} == whole
            assert LazyView.of(view, record).whole() == whole
            for stranger in ("spelled", "asked_position", "private_key"):
                assert (stranger in LazyView.of(view, record)) is (stranger in whole)

    await plane.store.read(work)


async def test_another_spelling_is_listed_and_found(plane: Plane) -> None:
    lb = (await plane.balancer())["id"]
    pool = await plane.make("pool", loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    made = await plane.make("member", pool_id=pool["id"], address="FD00:0::9", protocol_port=80)
    assert made["address"] == "FD00:0::9"
    await lazily(plane, "member", made["id"])
    path = f"/lbaas/pools/{pool['id']}/members?fields=address"
    assert (await plane.call("GET", path)).body["members"] == [{"address": "FD00:0::9"}]


class Counted:
    """What is read of the store and rendered of it from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        self.shown: list[str] = []
        record, show = rows.record, View.show
        monkeypatch.setattr(rows, "record", lambda row, cipher: self.read.append(row.id) or record(row, cipher))
        monkeypatch.setattr(View, "show", lambda view, one: self.shown.append(one.id) or show(view, one))

    def take(self) -> tuple[int, int]:
        counts = len(self.read), len(self.shown)
        self.read.clear()
        self.shown.clear()
        return counts


async def test_a_page_alone_is_rendered_and_read_where_that_will_do(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    lb = (await plane.balancer())["id"]
    pool = (await plane.make("pool", loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN"))["id"]
    members = [{"address": f"10.9.9.{i}", "protocol_port": 80, "name": f"m{i}", "weight": i} for i in range(1, 21)]
    await plane.call("PUT", f"/lbaas/pools/{pool}/members", {"members": members}, wait=10)
    counted = Counted(monkeypatch)
    parents = 1  # the pool, for whether there is one
    ids: list[str] = []
    for query, read, shown in (
        ("limit=3", 3, 3),
        ("limit=3&marker={0}", 3, 3),
        ("limit=2&marker={0}&page_reverse=True", 2, 2),
        ("limit=3&fields=id", 0, 0),
        ("limit=3&fields=name", 3, 0),
        ("fields=id,name,weight", 20, 0),
        ("limit=3&sort=weight:desc", 3, 3),
        ("name=m7", 20, 1),
        ("provisioning_status=ACTIVE&address=10.9.9.3", 20, 1),
        ("limit=3&subnet_id=null", 20, 20),  # not an attribute that records have as it is shown
        ("", 20, 20),
    ):
        answer = await plane.call("GET", f"/lbaas/pools/{pool}/members?{query.format(*ids)}")
        assert answer.status == 200, answer.body
        ids = [one["id"] for one in answer.body["members"] if "id" in one][-1:] or ids
        assert counted.take() == (read + parents, shown), query


async def test_a_page_is_the_beginning_of_the_whole_list(plane: Plane) -> None:
    """Whatever it is filtered and sorted by, however it was spelled, and though older code wrote fewer attributes."""
    lb = (await plane.balancer())["id"]
    pool = (await plane.make("pool", loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN"))["id"]
    await plane.make(
        "pool", loadbalancer_id=lb, protocol="TCP", lb_algorithm="ROUND_ROBIN", name="Z", admin_state_up=False
    )
    addresses = ["10.9.9.10", "FD00::0A", "10.9.9.9", "fd00:0::b", "10.9.10.1"]
    members = [
        {"address": one, "protocol_port": 80 + i % 2, "name": ["b", "B", "ä", "", "a"][i], "weight": 7 - i, "admin_state_up": bool(i % 3)}
        for i, one in enumerate(addresses)
    ]  # fmt: skip
    await plane.call("PUT", f"/lbaas/pools/{pool}/members", {"members": members}, wait=10)
    old = (await plane.store.read(lambda tx: tx.find("member")))[2]
    await plane.store.write(lambda tx: tx.fill(old.id, {n: v for n, v in old.spec.items() if n != "weight"}))
    for kind, path in (("member", f"/lbaas/pools/{pool}/members"), ("pool", "/lbaas/pools")):
        words = f"{kind}s"
        for name in ("id", *plain(kind)):
            for sort in (f"sort={name}:desc", f"sort_key={name}", f"sort_key={name}&sort_key=name&sort_dir=desc"):
                whole = (await plane.call("GET", f"{path}?{sort}")).body[words]
                assert (await plane.call("GET", f"{path}?{sort}&limit=3")).body[words] == whole[:3], sort
            for value in {str(one[name]) for one in whole}:
                query = {name: value}
                whole = (await plane.call("GET", f"{path}?{urlencode(query)}")).body[words]
                assert whole or name == "updated_at", query
                page = await plane.call("GET", f"{path}?{urlencode({**query, 'limit': 100})}")
                assert page.body[words] == whole, query


async def test_a_page_of_the_overview_reads_its_own_load_balancers(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    made = [(await plane.balancer(f"lb{i}"))["id"] for i in range(4)]
    counted = Counted(monkeypatch)
    first = (await plane.call("GET", "/octavia/status?limit=1")).body["status"]
    second = (await plane.call("GET", f"/octavia/status?limit=2&marker={first['next']}")).body["status"]
    assert [one["id"] for one in second["load_balancers"]] == made[1:3]
    assert {id_ for id_ in counted.read if id_ in made} == set(made[:3])
    assert second["next"] == made[2]
    last = (await plane.call("GET", f"/octavia/status?limit=2&marker={made[2]}")).body["status"]
    assert ([one["id"] for one in last["load_balancers"]], last["next"]) == (made[3:], None)


@pytest.mark.parametrize("some", [False, True], ids=["none", "some"])
async def test_a_list_is_asked_in_words_and_values_that_its_objects_can_have(plane: Plane, *, some: bool) -> None:
    if some:
        lb = (await plane.balancer())["id"]
        pool = await plane.make("pool", loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        await plane.make("member", pool_id=pool["id"], address="fd00::9", protocol_port=80)
        await plane.make("listener", loadbalancer_id=lb, protocol="HTTP", protocol_port=80)
    cases = [
        ("loadbalancers?admin_state_up=banana", ["admin_state_up"], "must be true or false"),
        ("loadbalancers?vip_address=here", ["vip_address"], "is not an IP address"),
        ("listeners?protocol_port=http", ["protocol_port"], "must be a whole number"),
        ("listeners?protocol_port=80.5&loadbalancer_id=lb&x=y", ["protocol_port", "loadbalancer_id", "x"], "is not a UUID"),
        ("pools?colour=red", ["colour"], "is not an attribute"),
        ("pools?sort=colour", ["sort"], "'colour'"),
        ("pools?fields=name,zz", ["fields"], "'zz' can not be shown; what can is id"),
        ("listeners?protocol=foo&protocol=HTTP", ["protocol"], "'foo' is not one of"),
        ("listeners?tls_versions=SSL", ["tls_versions"], "'SSL' is not one of"),
        ("pools?lb_algorithm=foo&id=foo", ["lb_algorithm", "id"], "is not one of ROUND_ROBIN"),
        ("pools?operating_status=foo", ["operating_status"], "is not one of ONLINE"),
        ("loadbalancers?provisioning_status=foo", ["provisioning_status"], "is not one of ACTIVE"),
        ("loadbalancers?id=foo", ["id"], "is not a UUID"),
        ("quotas?load_balancer=many", ["load_balancer"], "must be a whole number"),
    ]  # fmt: skip
    for query, at, words in cases:
        answer = await plane.call("GET", f"/lbaas/{query}")
        assert (answer.status, [path for path, _ in answer.violations]) == (400, [(name,) for name in at]), query
        assert words in answer.body["faultstring"]
    count = int(some)
    for query in (
        "loadbalancers?admin_state_up=1&tags-any=a&not-tags=b&not-tags-any=c&project_id=x&tenant_id=x",
        "loadbalancers?limit=5&sort_key=name&sort_dir=asc&page_reverse=False&fields=id&fields=vip_vnic_type",
        "listeners?protocol_port=0080&default_pool_id=null&timeout_client_data=50000&hsts_preload=no&load_balancer_id=null",
        "loadbalancers?id=5F4FA2B0-7d0b-4b7a-9c2c-2a4f6f6d9e01&provisioning_status=DELETED&operating_status=NO_MONITOR",
        "availabilityzones?id=east&name=east",
        "quotas?id=demo&project_id=demo",
        "pools?health_monitor_id=null&listener_id=null&tls_enabled=False",
    ):
        answer = await plane.call("GET", f"/lbaas/{query}")
        assert answer.status == 200, answer.body
    for kind, query in (("listeners", "protocol_port=0080&hsts_preload=no"), ("loadbalancers", "admin_state_up=yes")):
        assert len((await plane.call("GET", f"/lbaas/{kind}?{query}")).body[kind]) == count
    if some:
        members = f"/lbaas/pools/{pool['id']}/members?address=FD00:0::9&pool_id={pool['id'].upper()}"
        assert len((await plane.call("GET", members)).body["members"]) == 1
        assert (await plane.call("GET", f"/lbaas/pools/{pool['id']}?fields=zz")).violations[0][0] == ("fields",)
