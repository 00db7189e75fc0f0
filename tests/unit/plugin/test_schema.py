# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hash_seeds
from octavia_provider.model.metadata import inputs
from octavia_provider.model.pool import ALGORITHMS
from octavia_provider.plugin import schema
from octavia_provider.plugin.resources import HANDLERS

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_schema_is_what_the_model_says() -> None:
    assert schema.committed() == schema.text()
    assert schema.main(["--check"]) == 0


def test_the_schema_is_the_same_in_every_process() -> None:
    program = "from octavia_provider.plugin import schema\nprint(schema.text(), end='')"
    assert hash_seeds.printed(program) == schema.committed()


def test_the_sdk_was_made_from_it_and_not_edited() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/sdk.py", "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.kind.KIND)
def test_a_resource_shows_the_facts_of_the_model(handler: object) -> None:
    found = schema.build()["resources"][handler.type_name]
    for attr in inputs(handler.kind).values():
        prop = found["inputProperties"][attr.camel]
        assert prop.get("willReplaceOnChanges", False) == attr.replaces
        assert (attr.camel in found["requiredInputs"]) == attr.required
        assert prop["description"].startswith(attr.doc)
        assert not attr.cost or attr.cost in prop["description"]
    assert set(found["required"]) <= set(found["properties"])


def test_choices_are_enums_with_their_meaning() -> None:
    built = schema.build()
    algorithm = built["types"]["octavia:index:PoolLbAlgorithm"]
    assert [value["value"] for value in algorithm["enum"]] == [choice.value for choice in ALGORITHMS]
    assert all(value["description"] for value in algorithm["enum"])
    assert built["resources"]["octavia:index:Member"]["inputProperties"]["weight"]["default"] == 1


def test_outputs_that_are_always_there_are_required() -> None:
    found = {token.rpartition(":")[2]: set(r["required"]) for token, r in schema.build()["resources"].items()}
    assert {"vipAddress", "vipNetworkId", "vipSubnetId"} <= found["LoadBalancer"]
    assert {"address", "running"} <= found["Host"]
    assert {"cidr", "subnetId"} <= found["Network"]
    assert all({"projectId", "controlPlaneId", "provisioningStatus"} <= required for required in found.values())
    sometimes = {"updatedAt", "provisioningError", "publishedAddress", "vipPortId", "url", "askedPosition", "notAfter"}
    assert not any(sometimes & required for required in found.values())
