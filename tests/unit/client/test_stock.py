# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from octavia_provider.client.answers import WrongService
from octavia_provider.client.client import ApiObject, Ownership
from octavia_provider.client.deadline import Deadline
from octavia_provider.client.stock import forms, targets
from octavia_provider.client.stock.service import StockClient
from octavia_provider.model.errors import (
    Conflict,
    Invalid,
    OctaviaError,
    PermanentError,
    TransientError,
    Unauthenticated,
    Unreachable,
    WrongControlPlane,
)
from stock_octavia import StockOctavia

OWNER = Ownership(provider="p", urn="urn:pulumi:dev::prog::octavia:index:Listener::web")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "FIRST_PAUSE", 0.001)


@pytest.fixture
def service() -> Iterator[StockOctavia]:
    with StockOctavia() as running:
        yield running


@pytest.fixture
def client(service: StockOctavia) -> Iterator[StockClient]:
    made = StockClient(None, service.url)
    yield made
    made.close()


@pytest.fixture
def soon() -> Deadline:
    return Deadline(30)


class Tree:
    """A load balancer with a listener and its pool."""

    def __init__(self, client: StockClient, soon: Deadline) -> None:
        self.lb = client.create("load_balancer", {"name": "lb"}, deadline=soon).id
        listening = {"loadbalancer_id": self.lb, "protocol": "HTTP", "protocol_port": 80}
        self.listener = client.create("listener", listening, deadline=soon).id
        self.pool = client.create("pool", {"listener_id": self.listener, "protocol": "HTTP"}, deadline=soon).id


@pytest.fixture
def tree(client: StockClient, soon: Deadline) -> Tree:
    return Tree(client, soon)


def member(number: int, **more: Any) -> dict[str, Any]:
    return {"address": f"10.0.0.{number}", "protocol_port": 80, "name": f"m{number}", **more}


def at_once(count: int, make: Any) -> list[ApiObject | BaseException]:
    """``make(0)`` to ``make(count - 1)``, all at one time."""
    gate = threading.Barrier(count)

    def one(number: int) -> ApiObject:
        gate.wait(20)
        return make(number)

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(one, number) for number in range(count)]
        return [future.exception() or future.result() for future in futures]


def test_a_write_is_in_force_when_its_call_returns(client: StockClient, tree: Tree, soon: Deadline) -> None:
    """No second write of the load balancer meets a 409."""
    made = client.get("pool", tree.pool, deadline=soon).object
    assert (made["loadbalancer_id"], made["listener_id"], made["tags"]) == (tree.lb, tree.listener, [])
    changed = client.update("pool", tree.pool, {"tags": ["mine"]}, deadline=soon)
    assert changed.object["listener_id"] == tree.listener, "the tag that says it has stayed"
    assert changed.object["tags"] == ["mine"]


def test_a_409_of_another_process_is_waited_out(
    client: StockClient, service: StockOctavia, tree: Tree, soon: Deadline
) -> None:
    service.pending[tree.lb] = 3
    client.update("listener", tree.listener, {"connection_limit": 5}, deadline=soon)
    assert len(service.writes("PUT")) == 2


def test_nothing_is_waited_for_where_the_load_balancer_is_in_error(
    client: StockClient, service: StockOctavia, tree: Tree, soon: Deadline
) -> None:
    service.pending[tree.lb] = 1
    service.objects["loadbalancers"][tree.lb]["provisioning_status"] = "ERROR"
    with pytest.raises(Conflict, match="which is in ERROR"):
        client.update("listener", tree.listener, {"connection_limit": 5}, deadline=soon)


def test_members_that_are_made_at_once_go_together(
    client: StockClient, service: StockOctavia, tree: Tree, soon: Deadline
) -> None:
    answers = at_once(30, lambda n: client.create("member", member(n), deadline=soon, parent=tree.pool))
    assert {answer.object["address"] for answer in answers} == {f"10.0.0.{n}" for n in range(30)}  # type: ignore[union-attr]
    calls = [path for path, _ in service.writes("POST") + service.writes("PUT") if path.endswith("/members")]
    assert len(calls) < 10, calls
    changed = at_once(
        30, lambda n: client.update("member", answers[n].id, {"weight": n}, deadline=soon, parent=tree.pool)  # type: ignore[union-attr]
    )  # fmt: skip
    assert [answer.object["weight"] for answer in changed] == list(range(30))  # type: ignore[union-attr]
    assert {answer.object["name"] for answer in changed} == {f"m{n}" for n in range(30)}, "a batch resets nothing"  # type: ignore[union-attr]


def test_an_error_of_a_batch_reaches_the_member_that_it_is_about(
    client: StockClient, tree: Tree, soon: Deadline
) -> None:
    answers = at_once(
        4, lambda n: client.create("member", member(n, weight=99 if n == 2 else 1), deadline=soon, parent=tree.pool)
    )
    assert [type(answer) for answer in answers] == [ApiObject, ApiObject, Invalid, ApiObject]
    assert answers[2].violations[0].path == ("weight",)  # type: ignore[union-attr]


def test_a_place_that_is_taken_is_refused(client: StockClient, tree: Tree, soon: Deadline) -> None:
    """A batch would change the member that is there."""
    client.create("member", member(1), deadline=soon, parent=tree.pool)
    twice = at_once(3, lambda n: client.create("member", member(1 + n // 2), deadline=soon, parent=tree.pool))
    assert sum(isinstance(answer, Conflict) for answer in twice) == 2
    assert all(answer.path == ("address",) for answer in twice if isinstance(answer, Conflict))


def test_an_older_service_gets_members_one_by_one(soon: Deadline) -> None:
    with StockOctavia(minor=10) as service:
        client = StockClient(None, service.url)
        tree = Tree(client, soon)
        answers = at_once(3, lambda n: client.create("member", member(n), deadline=soon, parent=tree.pool))
        assert all(isinstance(answer, ApiObject) for answer in answers)
        assert not service.writes("PUT")
        client.close()


def test_one_that_is_too_old_is_not_driven(soon: Deadline) -> None:
    with StockOctavia(minor=4) as service:
        client = StockClient(None, service.url)
        with pytest.raises(PermanentError, match=r"version 2\.4.*catalog show"):  # or Nova's
            client.create("load_balancer", {}, deadline=soon)
        client.close()


@pytest.mark.parametrize("kind", ["listener", "member"])
def test_a_create_whose_answer_is_lost_makes_one(
    kind: str, client: StockClient, service: StockOctavia, tree: Tree, soon: Deadline
) -> None:
    service.dropped = 1
    values = {"loadbalancer_id": tree.lb, "protocol_port": 81} if kind == "listener" else member(1)
    parent = tree.pool if kind == "member" else None
    made = client.create(kind, values, deadline=soon, owner=OWNER, parent=parent)
    assert made.object["tags"] == []
    assert sum(not obj.get("protocol") for obj in service.objects[f"{kind}s"].values()) == 1


@pytest.mark.parametrize("kind", ["listener", "member"])
def test_what_an_ended_run_made_is_taken_up(
    kind: str, client: StockClient, service: StockOctavia, tree: Tree, soon: Deadline
) -> None:
    """Under another name, which the engine made up. One that the engine knows is another object."""
    values = (
        {"loadbalancer_id": tree.lb, "protocol_port": 81, "name": "a"} if kind == "listener" else member(1, name="a")
    )
    parent = tree.pool if kind == "member" else None
    made = client.create(kind, values, deadline=soon, owner=OWNER, parent=parent)
    again = client.create(kind, {**values, "name": "b"}, deadline=soon, owner=OWNER, parent=parent)
    assert (again.id, again.object["name"]) == (made.id, "b")
    knows = Ownership(provider=OWNER.provider, urn=OWNER.urn, known=[made.id])
    if kind == "member":  # two cannot be at one place
        with pytest.raises(Conflict):
            client.create(kind, values, deadline=soon, owner=knows, parent=parent)
        return
    assert client.create(kind, values, deadline=soon, owner=knows).id != made.id
    assert client.create(kind, {**values, "protocol_port": 82}, deadline=soon, owner=OWNER).id != made.id


def test_the_name_of_an_l7_rule_is_kept(client: StockClient, tree: Tree, soon: Deadline) -> None:
    policy = client.create("l7_policy", {"listener_id": tree.listener, "action": "REJECT"}, deadline=soon).id
    rule = client.create("l7_rule", {"name": "r", "value": "/", "tags": ["t"]}, deadline=soon, parent=policy)
    assert (rule.object["name"], rule.object["tags"], rule.object["l7policy_id"]) == ("r", ["t"], policy)
    renamed = client.update("l7_rule", rule.id, {"name": "s"}, deadline=soon, parent=policy).object
    assert (renamed["name"], renamed["tags"]) == ("s", ["t"])
    tagged = client.update("l7_rule", rule.id, {"tags": []}, deadline=soon, parent=policy).object
    assert (tagged["name"], tagged["tags"]) == ("s", [])


def test_what_is_gone_is_gone_only_where_octavia_says_so(
    client: StockClient, service: StockOctavia, tree: Tree, soon: Deadline
) -> None:
    client.delete("pool", tree.pool, deadline=soon, made_by=client.service_id)
    client.delete("pool", tree.pool, deadline=soon, made_by=client.service_id)
    service.faults, service.said = [404], b"<html>"
    with pytest.raises(WrongControlPlane):
        client.get("listener", tree.listener, deadline=soon, made_by=client.service_id)


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (300, b'{"versions": {"values": [{"id": "v3.14"}]}}', "its versions are those of another service"),  # Keystone
        (200, b'{"versions": {"values": []}}', "no list of versions"),
        (200, b'{"versions": ["v2"]}', "no list of versions"),
        (200, b"<html>It works!</html>", "no JSON object"),
        (302, b"", "it redirects to nowhere"),
        (404, b"<html>", "no list of versions"),
    ],
)
def test_another_service_is_no_octavia(
    status: int, said: bytes, why: str, client: StockClient, service: StockOctavia, soon: Deadline
) -> None:
    service.faults, service.said = [status], said
    with pytest.raises(WrongService) as raised:
        client.create("load_balancer", {}, deadline=soon)
    assert str(raised.value).startswith(
        f"what answers at {service.url} is no Octavia ({why}). Try: openstack catalog show load-balancer"
    )
    assert len(service.requests) == 1


def test_an_answer_without_the_object_is_of_another_service(
    client: StockClient, service: StockOctavia, soon: Deadline
) -> None:
    client.version(soon)
    service.faults, service.said = [200], b"{}"
    with pytest.raises(WrongService, match="an answer without 'loadbalancer'"):
        client.get("load_balancer", "x", deadline=soon)


def test_no_login_where_one_is_wanted(client: StockClient, service: StockOctavia, soon: Deadline) -> None:
    service.token = "t"
    with pytest.raises(Unauthenticated, match=r"wants a login, and none is configured.*authUrl"):
        client.get("load_balancer", "x", deadline=soon)


def test_who_does_not_answer_is_octavia() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(Unreachable, match=f"the Octavia at {url} does not answer .* openstack catalog show"):
            StockClient(None, url).version(Deadline(0))


@pytest.mark.parametrize("url", ["ftp://host", "host:9876", "http://"])
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(Invalid, match="is no URL of an Octavia"):
        StockClient(None, url)


class Tokens:
    """A login whose first token has been revoked."""

    service_id, project_id, tls = "s", "p", True

    def __init__(self) -> None:
        self.number = 1

    def headers(self) -> dict[str, str]:
        return {"X-Auth-Token": str(self.number)}

    def renew(self) -> None:
        self.number += 1


def test_a_token_that_is_refused_is_renewed_once(service: StockOctavia, soon: Deadline) -> None:
    service.token = "2"
    client = StockClient(Tokens(), service.url)  # type: ignore[arg-type]
    assert client.version(soon) == 30
    service.token = "x"
    with pytest.raises(Unauthenticated):
        client.get("load_balancer", "x", deadline=soon)
    client.close()


@pytest.mark.parametrize(
    ("status", "error", "requests"),
    [
        (400, Invalid, 1),
        (401, Unauthenticated, 1),
        (409, Conflict, 1),
        (500, TransientError, 3),
        (418, PermanentError, 1),
    ],
)
def test_what_may_pass_is_asked_again(
    status: int, error: type[OctaviaError], requests: int, client: StockClient, service: StockOctavia, soon: Deadline
) -> None:
    service.faults = [status] * 3
    with pytest.raises(error, match="no"):
        client.get("load_balancer", "x", deadline=soon)
    assert len(service.requests) == requests


def test_a_wait_ends_with_its_deadline(client: StockClient, service: StockOctavia) -> None:
    """What was made is told of: the engine keeps it, and the next update waits again."""
    service.looks = 1 << 30
    made = client.create("load_balancer", {}, deadline=Deadline(0.2))
    assert not made.settled
    assert made.id in service.objects["loadbalancers"]


def test_an_object_that_ends_in_error_says_where_the_reason_is(
    client: StockClient, service: StockOctavia, tree: Tree, soon: Deadline
) -> None:
    service.ends["listeners"] = "ERROR"
    made = client.create("listener", {"loadbalancer_id": tree.lb, "protocol_port": 81}, deadline=soon)
    assert "log of its worker" in made.object["provisioning_error"]


@pytest.mark.parametrize(("said", "asked"), [("7", 7), ("last", None), ("-1", None), ("", None)])
def test_a_tag_for_a_position_that_is_no_number_says_nothing(said: str, asked: int | None) -> None:
    """Anybody can write tags there."""
    shown = forms.shown("l7_policy", {"id": "p", "position": 2, "tags": [f"{forms.POSITION}{said}"]})
    assert shown["asked_position"] == asked
