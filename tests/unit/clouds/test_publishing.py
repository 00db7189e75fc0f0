# SPDX-License-Identifier: Apache-2.0
"""What is published on the loopback, and the steps that bring it about."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from builders import resource
from octavia_provider.clouds.netns.publishing import LoopbackPublisher, Publish, Withdraw
from octavia_provider.clouds.netns.specs import Publication
from octavia_provider.ports import CloudResource, Instance, Inventory

PUBLISHER = LoopbackPublisher(cast("Any", None))
BALANCER = resource("load_balancer", "lb", published_address="127.0.0.9")
ENTRANCE = Instance(
    amphora_id="a", load_balancer_id="lb", agent=("10.0.0.1", 9443), proxy_address="10.0.0.2", health_address="10.0.0.1"
)


def publication(id_: str, port: int = 80) -> Publication:
    return Publication(
        listener_id=id_, load_balancer_id="lb", address="127.0.0.9", port=port, target=("10.0.0.2", port)
    )


def listener(id_: str = "web", port: int = 80, **values: Any) -> Any:
    return resource("listener", id_, protocol_port=port, **values)


def plan(*observed: Publication, listeners: tuple[Any, ...] = (), entrance: Instance = ENTRANCE) -> tuple[Any, ...]:
    return PUBLISHER.plan(cast("Any", BALANCER), listeners, [entrance], observed)


def test_a_listener_is_published_once() -> None:
    (step,) = plan(listeners=(listener(),))
    assert isinstance(step, Publish)
    assert (step.publication, step.before) == (publication("web"), False)
    assert step.words == "publish listener web at 127.0.0.9:80"
    assert plan(publication("web"), listeners=(listener(),)) == ()


def test_a_listener_that_left_or_is_switched_off_is_withdrawn_before_anything_else() -> None:
    (step,) = plan(publication("web"))
    assert (step, step.before) == (Withdraw("web", "withdraw listener web", before=True), True)
    assert plan(publication("web"), listeners=(listener(admin_state_up=False),)) == (step,)


def test_a_listener_that_moved_is_published_again_without_being_withdrawn() -> None:
    (step,) = plan(publication("web", 80), listeners=(listener(port=81),))
    assert step.publication == publication("web", 81)


def test_a_pair_is_published_by_way_of_both__who_has_the_vips_first() -> None:
    other = Instance(
        amphora_id="b",
        load_balancer_id="lb",
        agent=("10.0.0.3", 9443),
        proxy_address="10.0.0.4",
        health_address="10.0.0.3",
    )
    (step,) = PUBLISHER.plan(cast("Any", BALANCER), (listener(),), [other, ENTRANCE], [publication("web")])
    assert step.publication == dataclasses.replace(
        publication("web"), target=("10.0.0.4", 80), standbys=(("10.0.0.2", 80),), checks=(("10.0.0.3", 1026), ("10.0.0.1", 1026)),
    )  # fmt: skip


def test_a_balancer_that_is_gone_has_no_publications() -> None:
    steps = PUBLISHER.plan(None, (), (), [publication("web"), publication("api")])
    assert [(type(step), step.object_id) for step in steps] == [(Withdraw, "web"), (Withdraw, "api")]


def test_no_amphora_to_go_through__nothing_is_published() -> None:
    assert plan(listeners=(listener(),), entrance=dataclasses.replace(ENTRANCE, alive=False)) == ()


def test_a_publication_that_ended_is_missing() -> None:
    web = CloudResource(kind="listener", id="web", words="")
    assert not PUBLISHER.missing([publication("web")], Inventory(resources=[web]))
    assert PUBLISHER.missing([publication("web"), publication("api")], Inventory(resources=[web]))
