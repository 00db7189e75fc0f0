# SPDX-License-Identifier: Apache-2.0
"""Lists: filters, tags, fields, order, pages."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from octavia_provider.api import listing
from octavia_provider.model.errors import Invalid
from unit.api.settling import BASE, Plane

Things = list[dict[str, Any]]


def thing(i: int, **more: Any) -> dict[str, Any]:
    return {"id": f"id-{i}", "name": f"n{i}", "tags": [], "admin_state_up": True, "weight": i, "pools": [], **more}


def names(objects: Things, query: str) -> list[str]:
    return [t["name"] for t in listing.page(objects, "things", URL(f"http://o/v2/things?{query}"))["things"]]


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
    page = listing.page(list(THINGS), "things", URL(f"http://o/things?{query}"))
    assert [t["weight"] for t in page["things"]] == expected


def test_order() -> None:
    assert names(THINGS, "sort=name:desc,weight:asc") == ["n1", "n0", "n0"]
    page = listing.page(
        list(THINGS), "things", URL("http://o/t?sort_key=name&sort_dir=asc&sort_key=weight&sort_dir=desc")
    )
    assert [t["weight"] for t in page["things"]] == [2, 0, 1]
    page = listing.page(list(THINGS), "things", URL("http://o/t?sort=description:desc"))
    assert [t["weight"] for t in page["things"]][2] == 0


@pytest.mark.parametrize("query", ["colour=red", "sort=colour", "sort=name:up", "limit=-1", "limit=x", "marker=nobody"])
def test_what_makes_no_sense_is_refused(query: str) -> None:
    with pytest.raises(Invalid):
        names(THINGS, query)


@pytest.mark.parametrize("query", ["fields=id,name", "fields=id&fields=name"])
def test_fields(query: str) -> None:
    page = listing.page([thing(1)], "things", URL(f"http://o/things?{query}"))
    assert page["things"] == [{"id": "id-1", "name": "n1"}]


@given(count=st.integers(0, 30), limit=st.integers(1, 12))
def test_pages_forwards_and_backwards_show_everything_once(count: int, limit: int) -> None:
    things = [thing(i) for i in range(count)]
    seen: list[list[str]] = []
    url: URL | None = URL(f"http://o/v2/things?limit={limit}&sort=weight:desc")
    last = url
    while url is not None:
        page = listing.page(things, "things", url)
        last, seen = url, [*seen, [t["id"] for t in page["things"]]]
        url = next((URL(k["href"]) for k in page.get("things_links", ()) if k["rel"] == "next"), None)
    assert [i for ids in seen for i in ids] == [f"id-{i}" for i in reversed(range(count))]
    back: list[list[str]] = []
    url = last
    while url is not None:
        page = listing.page(things, "things", url)
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
