# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import uuid
from typing import Any

import pytest

from octavia_provider.model import validation
from octavia_provider.plugin.inputs import Naming
from octavia_provider.plugin.resources import HANDLERS_BY_TYPE

LISTENER = {"loadbalancerId": str(uuid.UUID(int=1)), "name": "web", "protocol": "HTTP", "protocolPort": 80}


def test_an_update_validates_each_side_once_in_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    validated: list[Any] = []
    real = validation._validate

    def count(kind: Any, raw: Any) -> Any:
        validated.append(raw)
        return real(kind, raw)

    monkeypatch.setattr(validation, "_validate", count)
    handler = HANDLERS_BY_TYPE["octavia:index:Listener"]
    olds = {**LISTENER, "defaultPoolId": str(uuid.UUID(int=2)), "connectionLimit": -1}

    inputs, failures = handler.check({**LISTENER, "connectionLimit": 7}, LISTENER, Naming("web"))
    assert (failures, handler.ineffective_inputs(inputs), len(validated)) == ([], [], 2)
    validated.clear()
    assert handler.diff(LISTENER, olds, inputs).given == {
        "loadbalancer_id": LISTENER["loadbalancerId"], "name": "web", "protocol": "HTTP", "protocol_port": 80,
        "connection_limit": 7,
    }  # fmt: skip
    assert len(validated) == 3  # old inputs, old outputs, new inputs
    validated.clear()
    assert handler._update_body(LISTENER, olds, inputs, ()) == {"connection_limit": 7}
    assert len(validated) == 3
