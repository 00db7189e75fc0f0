# SPDX-License-Identifier: Apache-2.0
"""Functions look things up; an engine may attach to a provider that runs already."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from lifecycle.test_lifecycle import CASES, fill, parents
from octavia_provider.plugin import schema, values
from octavia_provider.plugin.functions import FUNCTIONS
from octavia_provider.plugin.resources import HANDLERS_BY_TYPE
from octavia_provider.pulumirpc import proto
from provider_process import Provider, pb

plugin_pb = proto.stub("plugin_pb2")
SCHEMA = schema.build()
INVOKED = [name for name in CASES if name != "rule"]  # an L7 rule has no name to be looked up by


def invoke(octavia: Provider, token: str, **arguments: Any) -> tuple[dict[str, Any], dict[str, str]]:
    answer = octavia.stub.Invoke(pb.InvokeRequest(tok=token, args=values.encode(arguments)))
    return values.decode(getattr(answer, "return")), {f.property: f.reason for f in answer.failures}


def getter(token: str) -> str:
    head, _, name = token.rpartition(":")
    return f"{head}:get{name}"


def test_every_resource_has_a_function() -> None:
    assert set(FUNCTIONS) == {getter(token) for token in HANDLERS_BY_TYPE}


@pytest.mark.parametrize("plane", ["real"], indirect=True)
@pytest.mark.parametrize("name", INVOKED)
def test_by_id_and_by_name(octavia: Provider, name: str) -> None:
    case = CASES[name]
    ids = parents(octavia, case)
    inputs, _ = octavia.check(case.token, name, fill(case.inputs, ids))
    id_, outputs = octavia.create(case.token, name, inputs)
    where = {"poolId": ids["pool"]} if name == "member" else {}
    names = ({"name": outputs["name"]},) if "name" in outputs else ()  # a quota is its project's, and has no name
    for by in ({"id": id_}, *names):
        found, failures = invoke(octavia, getter(case.token), **by, **where)
        assert failures == {}
        assert found["id"] == id_
        assert found["provisioningStatus"] == "ACTIVE"
        assert set(SCHEMA["functions"][getter(case.token)]["outputs"]["required"]) <= found.keys()


@pytest.mark.parametrize("plane", ["real"], indirect=True)
def test_wrong_arguments_are_told_all_at_once(octavia: Provider) -> None:
    _, failures = invoke(octavia, "octavia:index:getMember", colour="red", name=7)
    assert set(failures) == {"colour", "name", "poolId"}


@pytest.mark.parametrize("plane", ["real"], indirect=True)
def test_nothing_of_that_name(octavia: Provider) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        invoke(octavia, "octavia:index:getPool", name="nobody")
    assert "nobody" in caught.value.details()
    assert "Traceback" not in caught.value.details()


@pytest.mark.parametrize("plane", ["real"], indirect=True)
def test_an_unknown_function_is_refused_in_one_line(octavia: Provider) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        invoke(octavia, "octavia:index:getWeather", id="x")
    assert "is no function of this provider" in caught.value.details()


@pytest.mark.parametrize("plane", ["real"], indirect=True)
def test_attach_takes_up_where_a_cancelled_engine_left(octavia: Provider) -> None:
    octavia.session.cancelled.set()
    octavia.stub.Attach(plugin_pb.PluginAttach(address="127.0.0.1:1"))
    assert not octavia.session.cancelled.is_set()
