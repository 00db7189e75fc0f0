# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import re
import socket
import uuid
from collections.abc import Iterator

import httpx2
import pytest

from control_plane import ControlPlane
from octavia_provider.client import client as module
from octavia_provider.client import errors
from octavia_provider.client.answers import WrongService
from octavia_provider.client.client import Client, Ownership
from octavia_provider.client.deadline import Deadline
from octavia_provider.model.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OctaviaError,
    PermanentError,
    TransientError,
    Unauthenticated,
    Unreachable,
    WrongControlPlane,
)

NETWORK = str(uuid.UUID(int=7))


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as running:
        yield running


@pytest.fixture
def client(plane: ControlPlane) -> Iterator[Client]:
    made = Client(plane.url)
    yield made
    made.close()


@pytest.fixture
def soon() -> Deadline:
    return Deadline(10)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid), (401, Unauthenticated), (403, Forbidden), (404, NotFound), (409, Conflict), (429, TransientError),
        (500, PermanentError), (502, Unreachable), (503, TransientError), (504, Unreachable), (418, PermanentError),
    ],
)  # fmt: skip
def test_every_fault_is_one_of_our_errors(status: int, error: type[OctaviaError]) -> None:
    found = errors.from_response(status, {"faultstring": "no"}, subject="pool p")
    assert type(found) is error
    assert str(found).startswith("pool p: no")
    assert "without saying why" in str(errors.from_response(status, None, subject="pool p"))


def test_a_fault_carries_its_paths_and_when_to_come_back() -> None:
    body = {"faultstring": "x", "violations": [{"path": ["members", 0, "weight"], "message": "too heavy"}]}
    found = errors.from_response(400, body, subject="")
    assert str(found) == "members[0].weight: too heavy"
    later = errors.from_response(503, None, subject="", retry_after="2.5")
    assert isinstance(later, TransientError)
    assert later.retry_after == 2.5


def test_objects_come_and_go(client: Client, soon: Deadline) -> None:
    made = client.create("local_network", {"name": "n"}, deadline=soon)
    assert made.settled
    assert client.get("local_network", made.id, deadline=soon).object == made.object
    assert [o["name"] for o in client.list("local_network", deadline=soon, filters={"name": "n"})] == ["n"]
    client.update("local_network", made.id, {"name": "m"}, deadline=soon)
    client.delete("local_network", made.id, deadline=soon)
    client.delete("local_network", made.id, deadline=soon)
    with pytest.raises(NotFound):
        client.get("local_network", made.id, deadline=soon)


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"<html>It works!</html>", "no JSON object"),
        (301, b"", "it redirects to https://host/"),
        (200, b'{"status": "ok"}', "an answer without 'control_plane'"),
    ],
)
def test_another_service_is_no_control_plane(
    status: int, body: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = httpx2.Response(status, content=body, headers={"Location": "https://host/"})
    monkeypatch.setattr(httpx2.Client, "send", lambda *_args, **_more: answer)
    with pytest.raises(WrongService, match=re.escape(f"what answers at http://host is no control plane ({why})")):
        Client("http://host").control_plane(deadline=Deadline(5))


def test_a_404_of_another_control_plane_proves_nothing(client: Client, plane: ControlPlane, soon: Deadline) -> None:
    with pytest.raises(NotFound):
        client.get("pool", NETWORK, deadline=soon, made_by=plane.id)
    with pytest.raises(WrongControlPlane):
        client.get("pool", NETWORK, deadline=soon, made_by=str(uuid.uuid4()))
    with pytest.raises(WrongControlPlane):
        client.delete("pool", NETWORK, deadline=soon, made_by=str(uuid.uuid4()))


def test_a_post_without_an_owner_is_never_sent_twice(client: Client, plane: ControlPlane, soon: Deadline) -> None:
    plane.dropped_posts = 1
    with pytest.raises(Unreachable):
        client.create("local_network", {}, deadline=soon)
    assert len(plane.objects) == 1
    plane.dropped_posts = 1
    owner = Ownership(provider=str(uuid.uuid4()), urn="urn:pulumi:dev::prog::octavia:local:Network::née 1")
    made = client.create("local_network", {}, deadline=soon, owner=owner)
    assert made.adopted
    assert len(plane.objects) == 2
    assert client.get("local_network", made.id, deadline=soon, owner=owner).id in plane.confirmed


def test_a_deadline_that_passed_ends_a_wait_with_what_was_seen(client: Client, plane: ControlPlane) -> None:
    plane.held.add("local_network")
    made = client.create("local_network", {}, deadline=Deadline(1))
    assert made.status == "PENDING_CREATE"
    assert client.wait_until_settled("local_network", made, deadline=Deadline(0)) is made
    plane.release("local_network")
    assert client.wait_until_settled("local_network", made, deadline=Deadline(5)).settled


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """The URL of one that takes connections and says nothing, as one that is paused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of one that has ended."""
    with socket.socket() as bound:  # it does not listen, and no other process gets the port
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_where_one_control_plane_refuses_the_next_is_asked_and_stays(
    plane: ControlPlane, soon: Deadline, nobody: str
) -> None:
    client = Client(f"{nobody}, {plane.url}/")
    made = client.create("local_network", {"name": "n"}, deadline=soon)  # never sent to the first: no owner is needed
    assert client.url == plane.url
    assert client.get("local_network", made.id, deadline=soon).object == made.object
    client.close()


def test_where_one_is_silent_what_can_be_repeated_is_asked_of_the_next(
    plane: ControlPlane, soon: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OTHERS_TIMEOUT", 0.05)
    owner = Ownership(provider=str(uuid.uuid4()), urn="urn:pulumi:dev::prog::octavia:local:Network::n")
    with silent() as url:
        monkeypatch.setattr(module, "WAIT_SECONDS", 0)
        client = Client(f"{url},{plane.url}")
        made = client.create("local_network", {"name": "n"}, deadline=soon, owner=owner)
        assert client.url == plane.url
        assert client.update("local_network", made.id, {"name": "m"}, deadline=soon).object["name"] == "m"
        client.close()
    assert len(plane.objects) == 1


def test_when_all_have_failed_the_first_is_asked_again(nobody: str) -> None:
    client = Client(f"{nobody},{nobody}")
    with pytest.raises(Unreachable, match="does not answer"):
        client.control_plane(deadline=Deadline(0.5))
    client.close()


def test_a_socket_is_an_endpoint(soon: Deadline) -> None:
    from real_plane import RealPlane

    with RealPlane() as plane:
        client = Client(f"unix:///nowhere,unix://{plane.home}/api.sock")
        assert client.control_plane(deadline=soon)["id"] == plane.id
        client.close()
