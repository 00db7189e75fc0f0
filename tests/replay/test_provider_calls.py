# SPDX-License-Identifier: Apache-2.0
"""What a real engine sent to a provider (traces/*/calls.jsonl, see traces/README.md), through our codec and servicer.

The recorded provider was another one (``probe``), so resources are compared in their shape, the provider's own calls
word for word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from octavia_provider.model.unknown import contains_unknown
from octavia_provider.plugin import values
from octavia_provider.pulumirpc import proto
from provider_process import Provider, pb, provider

CALLS = [
    (path.parent.name, call["method"].rpartition("/")[2], call)
    for path in sorted((Path(__file__).parent / "traces").glob("*/calls.jsonl"))
    for call in map(json.loads, path.read_text().splitlines())
    if "/pulumirpc.ResourceProvider/" in call["method"]
]
REQUESTS = {
    "Handshake": pb.ProviderHandshakeRequest, "CheckConfig": pb.CheckRequest, "DiffConfig": pb.DiffRequest,
    "Configure": pb.ConfigureRequest, "Check": pb.CheckRequest, "Diff": pb.DiffRequest, "Create": pb.CreateRequest,
    "Read": pb.ReadRequest, "Update": pb.UpdateRequest, "Delete": pb.DeleteRequest,
}  # fmt: skip
DEFAULT = "pulumi:providers:probe::default"


@pytest.fixture(scope="module")
def served() -> Iterator[Provider]:
    with provider() as running:
        yield running


def structs(message: Any) -> Iterator[struct_pb2.Struct]:
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct":
            yield value


@pytest.mark.parametrize("step", sorted({step for step, _, _ in CALLS}))
def test_every_recorded_value_is_understood(step: str) -> None:
    for recorded, method, call in CALLS:
        if recorded != step or method not in REQUESTS:
            continue
        request = json_format.ParseDict(call["request"], REQUESTS[method]())
        for struct in structs(request):
            decoded = values.decode(struct)
            assert values.encode(decoded) == struct
            if method in {"Read", "Delete"}:
                assert not contains_unknown(values.plain(decoded))


@pytest.mark.parametrize("method", ["Handshake", "CheckConfig", "DiffConfig", "Configure", "Cancel", "GetPluginInfo"])
def test_the_calls_of_the_default_provider_are_answered_alike(served: Provider, method: str) -> None:
    seen = 0
    for _, recorded, call in CALLS:
        request = dict(call["request"])
        if recorded != method or DEFAULT not in request.get("urn", DEFAULT):
            continue
        request.pop("engineAddress", None)
        empty = proto.stub("provider_pb2_grpc").google_dot_protobuf_dot_empty__pb2.Empty
        message = json_format.ParseDict(request, REQUESTS.get(method, empty)())
        answer = json_format.MessageToDict(getattr(served.stub, method)(message))
        expected = call["response"]
        if method == "DiffConfig":
            expected = {"hasDetailedDiff": True, **expected}
        assert expected.items() <= answer.items()
        seen += 1
    assert seen


def test_the_engine_goes_on_with_what_our_details_say() -> None:
    """Step 24 ended a create with ErrorResourceInitFailed, and step 25 began with what it had carried."""
    [failed] = [call for step, method, call in CALLS if step == "24-init-failed" and method == "Create"]
    updates = [call["request"] for step, method, call in CALLS if step == "25-init-repaired" and method == "Update"]
    assert failed["errors"]
    assert "response" not in failed
    assert updates[0]["id"] == "member-12"
    assert updates[0]["oldInputs"] == failed["request"]["properties"]


def test_a_replacement_is_checked_again_without_olds() -> None:
    checks = [call["request"] for step, method, call in CALLS if step == "06-replace" and method == "Check"]
    again = [request for request in checks if request["name"] == "m0"]
    assert [bool(request["olds"]) for request in again] == [True, False]
    assert again[0]["randomSeed"] == again[1]["randomSeed"]
