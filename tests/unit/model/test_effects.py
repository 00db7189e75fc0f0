# SPDX-License-Identifier: Apache-2.0
"""Every kind and every input says what its change does to the traffic."""

from __future__ import annotations

from typing import Any

import pytest

from octavia_provider.model import effects, kinds
from octavia_provider.model.effects import Severity
from octavia_provider.model.kinds import BALANCER_KINDS, KINDS, LOCAL_KINDS, SHARED_KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.plugin.resources import TOKENS

UNHEARD = {"tls_container.passphrase", "load_balancer.name"}
"""Inputs of traffic's kinds that no request hears of, beside ``SILENT``."""
OF_TRAFFIC = [KINDS[kind] for kind in (*BALANCER_KINDS, *SHARED_KINDS, *LOCAL_KINDS)]


def test_every_kind_has_a_life_and_its_token() -> None:
    assert set(effects.LIVES) == set(KINDS)
    assert {kind: kinds.token(kind) for kind in KINDS} == TOKENS


@pytest.mark.parametrize("kind", OF_TRAFFIC, ids=lambda kind: kind.KIND)
def test_every_input_says_what_its_change_does(kind: Any) -> None:
    for attr in inputs(kind).values():
        name = f"{kind.KIND}.{attr.name}"
        if not attr.replaces and attr.name not in effects.SILENT and name not in UNHEARD:
            assert attr.cost or name in effects.CHANGES, f"{name} says nothing of the traffic"
        for old, new in ((None, 1), (1, None), (True, False), (UNKNOWN, UNKNOWN), ("a", "b"), ([], ["x"])):
            assert effects.of_change(kind.KIND, attr, old, new).text


def test_changes_are_named_for_inputs_that_there_are() -> None:
    for name in effects.CHANGES:
        kind, _, attribute = name.partition(".")
        assert attribute in inputs(KINDS[kind])


@pytest.mark.parametrize(
    ("name", "old", "new", "severity", "text"),
    [
        ("listener.admin_state_up", None, False, Severity.GONE, "its port is closed"),
        ("listener.admin_state_up", False, None, Severity.RELOAD, "its port is opened"),
        ("load_balancer.admin_state_up", True, False, Severity.GONE, "takes connections any more"),
        ("pool.admin_state_up", True, UNKNOWN, Severity.ENDS, "503"),
        ("member.weight", 1, 0, Severity.ENDS, "it drains"),
        ("member.weight", 1, 2, Severity.OTHERWISE, "its share"),
        ("listener.allowed_cidrs", None, ["10.0.0.0/8"], Severity.ENDS, "are cut off"),
        ("listener.allowed_cidrs", ["10.0.0.0/8"], None, Severity.OTHERWISE, "everybody is let in"),
        ("listener.client_authentication", "NONE", "MANDATORY", Severity.ENDS, "are refused"),
        ("listener.client_authentication", "MANDATORY", None, Severity.OTHERWISE, "are let in"),
        ("listener.timeout_client_data", 1, 2, Severity.RELOAD, "no request is lost"),
        ("load_balancer.flavor_id", None, "x", Severity.NONE, "none"),
        ("tls_container.certificate", "a", "b", Severity.OTHERWISE, "another certificate"),
        ("health_monitor.delay", 1, 2, Severity.OTHERWISE, "judged by other checks"),
        ("health_monitor.tags", None, ["x"], Severity.NONE, "none"),
        ("l7_rule.value", "a", "b", Severity.OTHERWISE, "other requests match"),
        ("local_host.command", ["a"], ["b"], Severity.ENDS, "restarted"),
    ],
)  # fmt: skip
def test_changes(name: str, old: Any, new: Any, severity: Severity, text: str) -> None:
    kind, _, attribute = name.partition(".")
    found = effects.of_change(kind, inputs(KINDS[kind])[attribute], old, new)
    assert found.severity is severity
    assert text in found.text


@pytest.mark.parametrize(
    "kind", ["load_balancer", "listener", "pool", "member", "health_monitor", "l7_policy", "l7_rule"]
)
def test_replacing_and_deleting_say_something(kind: str) -> None:
    for effect in (effects.of_replace(kind), effects.of_delete(kind)):
        assert effect.severity >= Severity.OTHERWISE
    assert effects.of_delete("load_balancer").severity is effects.of_replace("load_balancer").severity is Severity.GONE


def test_what_belongs_to_something_new_is_no_change() -> None:
    assert effects.of_create("member", {"pool_id": UNKNOWN}).severity is Severity.NONE
    assert effects.of_create("member", {"pool_id": "x"}).severity is Severity.OTHERWISE
    assert (
        effects.of_create("l7_policy", {"listener_id": "x", "redirect_pool_id": UNKNOWN}).severity is Severity.OTHERWISE
    )
    assert effects.of_create("pool", {"loadbalancer_id": "x"}).severity is Severity.NONE
    assert effects.of_create("listener", {"loadbalancer_id": "x", "admin_state_up": False}).severity is Severity.NONE


def test_the_worst_comes_first_and_the_rest_stays_in_order() -> None:
    named = [("a", effects.NOTHING), ("b", effects.of_delete("pool")), ("c", effects.of_delete("listener")),
             ("d", effects.of_delete("member"))]  # fmt: skip
    assert [name for name, _ in effects.worst_first(named)] == ["c", "b", "d", "a"]
