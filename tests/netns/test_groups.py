# SPDX-License-Identifier: Apache-2.0
"""Load balancers that share the amphorae of a group: made, moved under load, and what they are on is lost."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from .installation import Installation, Load, ask, make_stack, until
from .stacks import REPOSITORY, Project
from .test_pairs import flavor, kill_amphora


def amphorae(site: Installation) -> list[dict[str, Any]]:
    return list(site.get_json("/v2/octavia/amphorae")["amphorae"])


def hosts(site: Installation) -> set[str]:
    """Those of a group that run."""
    return {one["id"] for one in amphorae(site) if (one["role"], one["status"]) == ("GROUP", "ALLOCATED")}


def on(site: Installation, lb_id: str) -> set[str | None]:
    """What the load balancer is on, once it is whole; nothing before: the amphorae of a group, or None for those of its own."""
    seats = [one for one in amphorae(site) if one["loadbalancer_id"] == lb_id]
    whole = all(one["status"] == "ALLOCATED" for one in seats) and sorted(o["role"] for o in seats) == [
        "BACKUP",
        "MASTER",
    ]
    return {one["host_id"] for one in seats} if whole else set()


def answered(url: str) -> str:
    with contextlib.suppress(OSError):
        status, body = ask(url)
        return body.strip() if status == 200 else ""
    return ""


@pytest.mark.parametrize("engine", ["embedded"])
def test_the_example__a_lost_amphora_is_replaced_and_all_load_balancers_go_on(project: Project) -> None:
    project.source((REPOSITORY / "examples/amphora-group/__main__.py").read_text())
    project.up_well()
    outputs, site = project.outputs(), project.site
    urls = {name: outputs[name] for name in ("shop", "blog", "mail")}
    for name, url in urls.items():
        until(lambda url=url, name=name: answered(url) == name, what=f"the host {name} to listen")
    ids = [one["id"] for one in site.get_json("/v2/lbaas/loadbalancers")["loadbalancers"]]
    before = hosts(site)
    assert len(site.agents()) == len(before) == 2
    assert all(on(site, id_) == before for id_ in ids)
    kill_amphora(site.agents()[0])
    for name, url in urls.items():
        until(lambda url=url, name=name: answered(url) == name, what=f"{name} to be served")
    after = until(lambda: len(now := hosts(site)) == 2 and now != before and now, what="another amphora")
    for id_ in ids:
        until(lambda id_=id_: on(site, id_) == after, what="both amphorae of each load balancer")
    assert project.destroy().ok


def test_a_load_balancer_is_moved_into_a_group_to_another_and_out_and_no_request_fails(site: Installation) -> None:
    pair = flavor(site)
    stack = make_stack(site, members=2, flavor_id=pair)
    groups = [site.create("amphora_group", name=name, size=2)["id"] for name in ("one", "two")]
    lb_id, seen = stack.load_balancer["id"], set[str | None]()
    with Load(stack.url) as load:
        for group in (*groups, None):
            site.update("load_balancer", lb_id, amphora_group_id=group)
            there = on(site, lb_id)  # the update has waited for it
            assert there.isdisjoint(seen)
            seen |= there
            load.more(100)
            assert not load.failures, (group, load.failures)
    assert len(seen) == 5
    for group in groups:
        site.delete("amphora_group", group)
    assert len(site.agents()) == 2
