# SPDX-License-Identifier: Apache-2.0
"""What goes wrong: half-made objects, cancellations, crashes, another control plane."""

from __future__ import annotations

import re
import threading
import uuid
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

import pem
from control_plane import ControlPlane
from netns.traffic import until
from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.plugin import values
from provider_process import PROVIDER, URN, Provider, init_failed, provider
from real_plane import RealPlane

LB = "octavia:index:LoadBalancer"
LISTENER = "octavia:index:Listener"
MEMBER = "octavia:index:Member"
NETWORK = str(uuid.UUID(int=7))
INPUTS = {"name": "lb", "vipNetworkId": NETWORK}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a run waits for its confirmation as long as a busy machine takes."""
    monkeypatch.setattr("octavia_provider.plugin.session.CONFIRM_SECONDS", 100.0)


def refused(call: Any, *args: Any, **more: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **more)
    assert "Traceback" not in caught.value.details()
    assert "\n" not in caught.value.details()
    return caught.value


def test_a_create_that_ends_in_error_keeps_the_object_and_update_repairs_it(
    octavia: Provider, plane: ControlPlane
) -> None:
    plane.failing["load_balancer"] = "port 80 is taken on this machine"
    failed = init_failed(refused(octavia.create, LB, "lb", INPUTS))
    [id_] = plane.objects
    assert failed.id == id_
    assert list(failed.reasons) == ["port 80 is taken on this machine"]
    outputs, inputs = values.decode(failed.properties), values.decode(failed.inputs)
    assert (inputs, outputs["provisioningStatus"]) == (INPUTS, "ERROR")

    refresh = init_failed(refused(octavia.read, LB, "lb", id_, outputs, inputs))
    assert (refresh.id, list(refresh.reasons)) == (id_, ["port 80 is taken on this machine"])

    still = init_failed(refused(octavia.update, LB, "lb", id_, INPUTS, outputs, INPUTS))
    assert still.id == id_
    plane.failing.clear()
    assert octavia.update(LB, "lb", id_, INPUTS, outputs, INPUTS)["provisioningStatus"] == "ACTIVE"
    assert list(plane.objects) == [id_]


def test_a_custom_timeout_ends_the_wait_and_keeps_the_object(octavia: Provider, plane: ControlPlane) -> None:
    plane.held.add("load_balancer")
    failed = init_failed(refused(octavia.create, LB, "lb", INPUTS, timeout=1.0))
    assert failed.id in plane.objects
    assert "gave up after 1 s while waiting until it is in force (PENDING_CREATE)" in failed.reasons[0]


def test_invariant_10_a_cancel_ends_the_wait_with_the_id(
    octavia: Provider, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octavia_provider.client.client.WAIT_SECONDS", 1)
    plane.held.add("load_balancer")
    caught: list[grpc.RpcError] = []
    waiting = threading.Thread(target=lambda: caught.append(refused(octavia.create, LB, "lb", INPUTS)))
    waiting.start()
    with plane.changed:
        assert plane.changed.wait_for(lambda: plane.objects, 60)
    octavia.stub.Cancel(Empty())
    waiting.join(60)
    failed = init_failed(caught[0])
    assert failed.id in plane.objects
    assert "cancelled while waiting" in failed.reasons[0]


def test_progress_is_shown_in_the_status_column_while_waiting(
    octavia: Provider, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octavia_provider.client.client.WAIT_SECONDS", 1)
    plane.held.add("load_balancer")

    def release() -> None:
        until(lambda: octavia.engine.messages, what="a message", seconds=60)
        plane.release("load_balancer")

    releasing = threading.Thread(target=release)
    releasing.start()
    octavia.create(LB, "lb", INPUTS)
    releasing.join()
    [message, *_] = octavia.engine.messages
    assert message.ephemeral
    assert message.urn == URN.format(LB, "lb")
    assert re.match(r"waiting until it is in force: PENDING_CREATE, [1-9]\d* s", message.message)


def test_a_create_is_made_once_though_the_answer_is_lost(octavia: Provider, plane: ControlPlane) -> None:
    plane.dropped_posts = 1
    id_, _ = octavia.create(LB, "lb", INPUTS)
    assert list(plane.objects) == [id_]
    owner = plane.writes()[0][2]["owner"]
    assert owner == {"provider": PROVIDER, "urn": URN.format(LB, "lb"), "known": []}


def test_a_plugin_that_died_is_followed_by_one_that_takes_up_its_object(plane: ControlPlane) -> None:
    for number in range(2):
        with provider() as running:
            running.configure(endpoint=plane.url)
            id_, outputs = running.create(LB, "lb", {**INPUTS, "name": f"lb-{number}"})
    assert list(plane.objects) == [id_]
    assert outputs["name"] == "lb-1"


@pytest.mark.usefixtures("patient")
def test_a_run_that_ended_in_order_left_nothing_behind(plane: ControlPlane) -> None:
    """An alias may have given the object another URN since; its old one then makes another object."""
    made = set()
    for _ in range(2):
        with provider() as running:
            running.configure(endpoint=plane.url)
            made.add(running.create(LB, "lb", INPUTS)[0])
            running.stub.Cancel(Empty())
    assert made == set(plane.objects)
    assert len(made) == 2


@pytest.mark.usefixtures("patient")
def test_what_failed_half_made_is_kept_by_the_engine_too(octavia: Provider, plane: ControlPlane) -> None:
    plane.failing["load_balancer"] = "no"
    id_ = init_failed(refused(octavia.create, LB, "lb", INPUTS)).id
    octavia.stub.Cancel(Empty())
    assert plane.confirmed == {id_}


def test_a_run_that_calls_nobody_confirms_nothing(octavia: Provider, plane: ControlPlane) -> None:
    octavia.diff(LB, "lb", NETWORK, INPUTS, INPUTS, INPUTS)
    octavia.stub.Cancel(Empty())
    assert plane.requests == []


def test_the_end_of_a_run_does_not_wait_for_a_control_plane(plane: ControlPlane) -> None:
    with provider() as running:
        running.configure(endpoint=plane.url)
        running.create(LB, "lb", INPUTS)
        plane.answering.clear()
        running.stub.Cancel(Empty(), timeout=20)  # for an answer it would wait half a minute, as other requests do
        plane.answering.set()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("plane", ["real"], indirect=True)
def test_a_new_resource_of_an_old_name_leaves_the_renamed_one_alone(plane: RealPlane) -> None:
    token = "octavia:local:Network"
    with provider() as running:
        running.configure(home=plane.home)
        first, outputs = running.create(token, "web", {"name": "n"})
        running.stub.Cancel(Empty())
    with provider() as running:  # renamed by an alias: nothing is called
        running.configure(home=plane.home)
        running.diff(token, "web-old", first, {"name": "n"}, outputs, {"name": "n"})
        running.stub.Cancel(Empty())
    with provider() as running:
        running.configure(home=plane.home)
        second, _ = running.create(token, "web", {"name": "n"})
    assert {first, second} == set(plane.objects())
    assert first != second


@pytest.mark.parametrize("plane", ["real"], indirect=True)
def test_what_a_killed_run_kept_is_told_by_whoever_shows_it(plane: RealPlane) -> None:
    """Its engine died after the checkpoint: nothing is confirmed, but the next one shows it, by whatever URN."""
    token = "octavia:local:Network"
    with provider() as running:
        running.configure(home=plane.home)
        first, outputs = running.create(token, "web", {"name": "n"})
    with provider() as running:
        running.configure(home=plane.home)
        running.diff(token, "web-old", first, {"name": "n"}, outputs, {"name": "n"})
        second, _ = running.create(token, "web", {"name": "n"})
    assert {first, second} == set(plane.objects())
    assert first != second


def test_a_second_object_of_the_same_urn_is_made_when_the_first_is_in_the_state(
    octavia: Provider, plane: ControlPlane
) -> None:
    first, outputs = octavia.create(LB, "lb", INPUTS)
    octavia.diff(LB, "lb", first, INPUTS, outputs, {**INPUTS, "vipAddress": "10.9.0.8"})
    second, _ = octavia.create(LB, "lb", {**INPUTS, "vipAddress": "10.9.0.8"})
    assert {first, second} == set(plane.objects)


def test_invariant_09_gone_is_said_only_by_the_control_plane_that_made_it(
    octavia: Provider, plane: ControlPlane
) -> None:
    id_, outputs = octavia.create(LB, "lb", INPUTS)
    made_by = plane.id
    plane.objects.clear()
    plane.id = str(uuid.uuid4())
    for call in (
        lambda: octavia.read(LB, "lb", id_, outputs, INPUTS),
        lambda: octavia.update(LB, "lb", id_, INPUTS, outputs, {**INPUTS, "description": "x"}),
        lambda: octavia.delete(LB, "lb", id_, outputs),
    ):
        message = refused(call).details()
        assert f"was made by control plane {made_by}, and control plane {plane.id} answers" in message
        assert "OCTAVIA_HOME" in message
    assert octavia.read(LB, "lb", id_) == ("", {}, {}), "an import by id asks the present one"


def test_what_the_api_refuses_is_told_with_its_property_path(octavia: Provider) -> None:
    lb, _ = octavia.create(LB, "lb", INPUTS)
    listener = {"loadbalancerId": lb, "protocol": "HTTP", "protocolPort": 80, "name": "a"}
    octavia.create(LISTENER, "a", listener)
    error = refused(octavia.create, LISTENER, "b", {**listener, "name": "b"})
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == "protocolPort: port 80 is taken on this load balancer by listener a"


def test_a_balancer_with_children_of_others_is_not_deleted(octavia: Provider, plane: ControlPlane) -> None:
    lb, outputs = octavia.create(LB, "lb", INPUTS)
    octavia.create(LISTENER, "a", {"loadbalancerId": lb, "protocol": "HTTP", "protocolPort": 80, "name": "a"})
    assert "has 1 children" in refused(octavia.delete, LB, "lb", lb, outputs).details()
    assert lb in plane.objects


def test_a_deletion_is_waited_for(octavia: Provider, plane: ControlPlane) -> None:
    id_, outputs = octavia.create(LB, "lb", INPUTS)
    plane.held.add("load_balancer")
    error = refused(octavia.delete, LB, "lb", id_, outputs, timeout=1.0)
    assert "gave up after 1 s while waiting until it is deleted" in error.details()
    release = threading.Timer(0.2, plane.release, ["load_balancer"])
    release.start()
    octavia.delete(LB, "lb", id_, outputs)
    release.join()
    assert not plane.objects


def test_a_member_whose_pool_is_gone_is_gone(octavia: Provider, plane: ControlPlane) -> None:
    outputs = {"poolId": NETWORK, "controlPlaneId": plane.id}
    octavia.delete(MEMBER, "m", str(uuid.uuid4()), outputs)
    assert octavia.read(MEMBER, "m", str(uuid.uuid4()), outputs, {"poolId": NETWORK})[0] == ""


def test_a_member_is_not_imported_by_its_id_alone(octavia: Provider) -> None:
    assert "<pool id>/<member id>" in refused(octavia.read, MEMBER, "m", NETWORK).details()


def test_nobody_answers(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octavia_provider.client.client.RETRY_SECONDS", 0.3)
    with provider() as running:
        running.configure(endpoint="http://127.0.0.1:9")
        message = refused(running.create, LB, "lb", INPUTS).details()
    assert message.startswith("the control plane at http://127.0.0.1:9 does not answer (")


def test_what_was_set_by_others_is_left_alone_by_an_update(octavia: Provider, plane: ControlPlane) -> None:
    id_, outputs = octavia.create(LB, "lb", INPUTS)
    octavia.update(LB, "lb", id_, INPUTS, outputs, {**INPUTS, "description": "mine"})
    assert plane.writes()[-1][2] == {"loadbalancer": {"description": "mine"}}
    plane.objects[id_]["description"] = "theirs"
    octavia.update(LB, "lb", id_, INPUTS, outputs, INPUTS, ignoreChanges=["description"])
    assert plane.objects[id_]["description"] == "theirs"


def test_drift_is_seen_and_put_right(octavia: Provider, plane: ControlPlane) -> None:
    id_, outputs = octavia.create(LB, "lb", INPUTS)
    plane.objects[id_]["description"] = "drifted"
    _, fresh, fresh_inputs = octavia.read(LB, "lb", id_, outputs, INPUTS)
    assert fresh_inputs == {**INPUTS, "description": "drifted"}
    found = octavia.diff(LB, "lb", id_, fresh_inputs, fresh, INPUTS)
    assert list(found.detailedDiff) == ["description"]
    octavia.update(LB, "lb", id_, fresh_inputs, fresh, INPUTS)
    assert plane.objects[id_]["description"] == ""


def test_a_default_pool_that_follows_from_a_pool_is_no_input(octavia: Provider) -> None:
    lb, _ = octavia.create(LB, "lb", INPUTS)
    listener = {"loadbalancerId": lb, "protocol": "HTTP", "protocolPort": 80, "name": "a"}
    id_, outputs = octavia.create(LISTENER, "a", listener)
    pool, _ = octavia.create(
        "octavia:index:Pool", "p", {"name": "p", "listenerId": id_, "protocol": "HTTP", "lbAlgorithm": "ROUND_ROBIN"}
    )
    _, fresh, inputs = octavia.read(LISTENER, "a", id_, outputs, listener)
    assert inputs == listener
    assert fresh["defaultPoolId"] == pool
    assert octavia.read(LISTENER, "a", id_)[2] == listener


def test_what_has_no_effect_is_said_once_and_nothing_is_said_of_what_is_refused(octavia: Provider) -> None:
    idle = {"loadbalancerId": NETWORK, "protocol": "HTTP", "protocolPort": 80, "name": "a", "tlsVersions": ["TLSv1.2"]}
    for _ in range(2):
        assert octavia.check(LISTENER, "a", idle)[1] == {}
    (warning,) = octavia.engine.messages
    assert warning.message == "tlsVersions: has no effect: no TLS ends at this listener"
    assert warning.severity == 2  # pulumirpc.LogSeverity: WARNING
    assert octavia.check(LISTENER, "b", {**idle, "protocolPort": 0, "alpnProtocols": ["h2"]})[1]
    assert octavia.engine.messages == [warning]


@pytest.mark.parametrize("plane", ["real"], indirect=True)
def test_a_default_pool_that_is_taken_away_is_gone_though_a_pool_names_the_listener(
    octavia: Provider, plane: RealPlane
) -> None:
    network, _ = octavia.create("octavia:local:Network", "n", {"name": "n"})
    lb, _ = octavia.create(LB, "lb", {"name": "lb", "vipNetworkId": network})
    listener = {"loadbalancerId": lb, "protocol": "HTTP", "protocolPort": 80, "name": "a"}
    id_, _ = octavia.create(LISTENER, "a", listener)
    named = {"name": "p", "listenerId": id_, "protocol": "HTTP", "lbAlgorithm": "ROUND_ROBIN"}
    octavia.create("octavia:index:Pool", "p", named)
    other, _ = octavia.create(
        "octavia:index:Pool", "q", {**named, "name": "q", "listenerId": None, "loadbalancerId": lb}
    )
    outputs = octavia.read(LISTENER, "a", id_)[1]
    moved = octavia.update(LISTENER, "a", id_, listener, outputs, {**listener, "defaultPoolId": other})
    assert moved["defaultPoolId"] == other
    without = octavia.update(LISTENER, "a", id_, {**listener, "defaultPoolId": other}, moved, listener)
    assert "defaultPoolId" not in without
    _, fresh, inputs = octavia.read(LISTENER, "a", id_, without, listener)
    assert inputs == listener
    assert "defaultPoolId" not in fresh
    assert not octavia.diff(LISTENER, "a", id_, inputs, fresh, listener).diffs, "nothing is left to be changed"


@pytest.mark.parametrize("plane", ["real"], indirect=True)
def test_outputs_are_in_the_model_s_form_whatever_the_api_shows_to_others(octavia: Provider, plane: RealPlane) -> None:
    network, _ = octavia.create("octavia:local:Network", "n", {"name": "n"})
    lb, _ = octavia.create(LB, "lb", {"name": "lb", "vipNetworkId": network})
    listener = {"loadbalancerId": lb, "protocol": "HTTP", "protocolPort": 80, "name": "a"}
    id_, outputs = octavia.create(LISTENER, "a", listener)
    assert outputs["allowedCidrs"] == []
    pool, _ = octavia.create(
        "octavia:index:Pool", "p", {"name": "p", "listenerId": id_, "protocol": "HTTP", "lbAlgorithm": "ROUND_ROBIN"}
    )
    checks = {
        "name": "m",
        "poolId": pool,
        "type": "HTTP",
        "delay": 5,
        "timeout": 3,
        "maxRetries": 2,
        "httpVersion": "1.1",
    }
    monitor, outputs = octavia.create("octavia:index:HealthMonitor", "m", checks)
    assert outputs["httpVersion"] == "1.1"
    assert not {"httpMethod", "urlPath", "expectedCodes"} & outputs.keys()
    member = {"name": "s", "poolId": pool, "address": "FD00:0::9", "protocolPort": 80}
    server, shown = octavia.create(MEMBER, "s", member)
    assert shown["address"] == "fd00::9"
    for token, id_, given, seen in (
        ("octavia:index:HealthMonitor", monitor, checks, outputs), (MEMBER, f"{pool}/{server}", member, shown),
    ):  # fmt: skip
        _, fresh, inputs = octavia.read(token, "x", id_, seen, given)
        assert (fresh, inputs) == (seen, given), "a refresh finds nothing new"


def test_a_certificate_that_is_not_valid_is_told_of_in_the_preview(octavia: Provider) -> None:
    """Once a resource; one that ends soon is told of in status."""
    token = "octavia:index:TlsContainer"
    over, early, soon = (
        pem.make(f"{name}.test", since=since, days=days)
        for name, since, days in (("over", 90, -3), ("early", -3, 90), ("soon", 80, 3))
    )
    for name, pair in (("over", over), ("over", over), ("early", early), ("soon", soon)):
        given = {"name": name, "certificate": pair.pem, "privateKey": values.Secret(pair.key_pem)}
        assert octavia.check(token, name, given)[1] == {}
    assert octavia.check(token, "unknown", {"name": "x", "certificate": UNKNOWN, "privateKey": UNKNOWN})[1] == {}
    told = [(m.urn.rpartition("::")[2], m.severity, m.message) for m in octavia.engine.messages]
    assert [(name, severity) for name, severity, _ in told] == [("over", 2), ("early", 2)]  # LogSeverity.WARNING
    assert told[0][2].startswith("the certificate (CN=over.test) ended 3 days ago, on ")
    assert told[1][2].startswith("the certificate (CN=early.test) is valid from ")


def test_a_cost_is_told_once_and_not_in_a_refresh(octavia: Provider) -> None:
    old = {"loadbalancerId": NETWORK, "protocol": "HTTP", "protocolPort": 80, "name": "a"}
    new = {**old, "timeoutClientData": 1}
    octavia.diff(LISTENER, "a", NETWORK, old, old, new)
    assert octavia.engine.messages == []
    octavia.check(LISTENER, "a", new, old)
    octavia.diff(LISTENER, "a", NETWORK, old, old, new)
    octavia.diff(LISTENER, "a", NETWORK, old, old, new)
    [message] = octavia.engine.messages
    assert message.message == "effect on traffic: timeoutClientData: a seamless reload of haproxy; no request is lost"
