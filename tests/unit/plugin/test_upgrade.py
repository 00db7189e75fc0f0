# SPDX-License-Identifier: Apache-2.0
"""The state of a stack that older code wrote (``unit/store/written_at_0002``): a preview shows no difference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from octavia_engine.secrets import Secrets
from octavia_engine.state import ResourceState
from octavia_provider.plugin import values
from octavia_provider.pulumirpc import proto, struct
from provider_process import Provider, provider

STATE = Path(__file__).parents[1] / "store" / "written_at_0002" / "stack.json"
pb = proto.stub("provider_pb2")


def _plugin_values(props: dict[str, Any]) -> dict[str, Any]:
    message = Struct()
    struct.fill_struct(message, props)
    return values.decode(message)


@pytest.fixture(scope="module")
def resources() -> list[ResourceState]:
    deployment = json.loads(STATE.read_text())["checkpoint"]["latest"]
    secrets = Secrets.open(deployment["secrets_providers"]["state"]["salt"], "octavia", "dev")
    found = [ResourceState.from_json(raw, secrets.decrypt) for raw in deployment["resources"]]
    return [one for one in found if one.type.startswith("octavia:")]


@pytest.fixture(scope="module")
def plugin() -> Iterator[Provider]:
    with provider() as running:
        running.configure()
        yield running


def test_a_preview_of_the_same_program_shows_no_difference(plugin: Provider, resources: list[ResourceState]) -> None:
    assert len(resources) == 66
    for resource in resources:
        inputs, outputs = _plugin_values(resource.inputs), _plugin_values(resource.outputs)
        name = resource.urn.rsplit("::", 1)[-1]
        checked, failures = plugin.check(resource.type, name, inputs, inputs)
        assert (checked, failures) == (inputs, {}), resource.urn
        difference = plugin.diff(resource.type, name, resource.id, inputs, outputs, checked)
        assert (difference.changes, list(difference.replaces)) == (pb.DiffResponse.DIFF_NONE, []), resource.urn
