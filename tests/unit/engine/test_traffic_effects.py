# SPDX-License-Identifier: Apache-2.0
"""What a preview says of the traffic: with each resource, and the worst first at the end."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from octavia_engine import traffic_effects, values
from octavia_engine.display.json_output import EventLines, PreviewJson
from octavia_engine.display.live import LiveDisplay
from octavia_engine.display.plain import PlainDisplay
from octavia_engine.events import Display, Step, Summary
from octavia_engine.provider import SOME, Diff, PropertyDiff
from octavia_engine.state import ResourceState
from octavia_provider.model.effects import Severity
from octavia_provider.model.listener import Listener
from octavia_provider.model.metadata import inputs
from pem import make


def state(kind: str, name: str, inputs: dict[str, Any], **more: Any) -> ResourceState:
    urn = f"urn:pulumi:dev::prog::octavia:index:{kind}::{name}"
    return ResourceState(urn, f"octavia:index:{kind}", custom=True, inputs=inputs, **more)


def step(op: str, kind: str, name: str, old: dict[str, Any] | None, new: dict[str, Any] | None, **more: Any) -> Step:
    states = [None if side is None else state(kind, name, side, **more) for side in (old, new)]
    changed = sorted(key for key in {**(old or {}), **(new or {})} if (old or {}).get(key) != (new or {}).get(key))
    diff = Diff(SOME, changed_keys=changed, detailed={key: PropertyDiff("update") for key in changed})
    some = states[0] or states[1]
    assert some is not None
    return Step(op, some.urn, old=states[0], new=states[1], diff=diff if old and new else None)


STEPS = (
    step("update", "Pool", "p", {"description": "a"}, {"description": "b"}),
    step(
        "update", "Listener", "web", {"timeoutClientData": 1}, {"timeoutClientData": 2, "allowedCidrs": ["10.0.0.0/8"]}
    ),
    step("create", "L7Policy", "deny", None, {"action": "REJECT", "listenerId": "x"}),
    step("create", "Member", "new", None, {"poolId": values.UNKNOWN}),
    step("delete", "Listener", "old", {"protocolPort": 81}, None),
    step("replace", "LoadBalancer", "lb", {"vipNetworkId": "a"}, {"vipNetworkId": "b"}),
    step("create-replacement", "LoadBalancer", "lb", {"vipNetworkId": "a"}, {"vipNetworkId": "b"}),
    step("delete-replaced", "LoadBalancer", "lb", {"vipNetworkId": "a"}, None),
    step("delete", "Pool", "kept", {}, None, retain_on_delete=True),
    step("same", "Pool", "same", {}, {}),
)


CIDRS = inputs(Listener)["allowed_cidrs"].cost


def shown(display: Display) -> None:
    display.begin("update", "dev", preview=True)
    for each in STEPS:
        display.finished(each, 0.0, None)
    display.end(Summary())


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_the_effects_stand_with_their_resource_and_the_worst_first_at_the_end(kind: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=300, highlight=False, soft_wrap=True)
    shown(PlainDisplay(stream) if kind == "plain" else LiveDisplay(console))
    lines = stream.getvalue().splitlines()
    at = next(number for number, line in enumerate(lines) if "octavia:index:Listener web update" in line)
    assert [line.strip() for line in lines[at + 1 : at + 5]] == [
        '+ allowed_cidrs: ["10.0.0.0/8"]',
        "~ timeout_client_data: 1 → 2",
        f"effect on traffic: allowed_cidrs: clients outside of these networks are cut off; {CIDRS}",
        "effect on traffic: timeout_client_data: a seamless reload of haproxy; no request is lost",
    ]
    assert "      effect on traffic: description: none" in lines
    assert "      effect on traffic: made: none: it is part of what is new" in lines
    summary = lines[lines.index("Effect on traffic, the worst first:") + 1 : lines.index("Resources:")]
    assert [line.partition(": ")[0].split() for line in summary] == [
        ["!!", "octavia:index:Listener", "old", "deleted"],
        ["!!", "octavia:index:LoadBalancer", "lb", "replaced"],
        ["!", "octavia:index:Listener", "web", "allowed_cidrs"],
        ["octavia:index:L7Policy", "deny", "made"],
        ["octavia:index:Listener", "web", "timeout_client_data"],
    ]
    assert stream.getvalue().count("lb replaced:") == 1


def test_programs_read_them_too() -> None:
    stream = io.StringIO()
    shown(PreviewJson(stream=stream))
    told = [(d["urn"].rpartition("::")[2], d["severity"]) for d in json.loads(stream.getvalue())["diagnostics"]]
    assert ("lb", "warning") in told
    assert ("deny", "info") in told
    assert ("new", "info") not in told
    stream = io.StringIO()
    shown(EventLines(stream))
    found = [line for line in map(json.loads, stream.getvalue().splitlines()) if line.get("effects")]
    assert {
        key: value for line in found if line["urn"].endswith("::old") for key, value in line["effects"][0].items() if key != "text"
    } == {"of": "deleted", "severity": "gone"}  # fmt: skip


def test_a_run_without_load_balancers_says_nothing_and_one_without_effects_says_none() -> None:
    gathered = traffic_effects.EffectSummary()
    gathered.add(
        Step(
            "create",
            "urn:pulumi:dev::prog::probe:index:Member::m",
            new=state("X", "x", {}).copy(type="probe:index:Member"),
        )
    )
    assert list(gathered.lines()) == []
    gathered.add(STEPS[0])
    assert list(gathered.lines()) == ["Effect on traffic: none."]


def test_unknown_values_and_secrets_have_effects() -> None:
    changed = step("update", "Member", "m", {"weight": 1}, {"weight": values.UNKNOWN})
    assert traffic_effects.effects_of_step(changed)[0][1].severity is Severity.OTHERWISE
    hidden = step("update", "TlsContainer", "t", {"privateKey": values.secret("a")}, {"privateKey": values.secret("b")})
    assert traffic_effects.effects_of_step(hidden)[0][0] == "private_key"


def test_certificates_are_shown_in_words() -> None:
    one, two = make("a.example.com"), make("b.example.com")
    stream = io.StringIO()
    display = PlainDisplay(stream)
    display.begin("update", "dev", preview=True)
    display.finished(step("update", "TlsContainer", "t", {"certificate": one.pem}, {"certificate": two.pem}), 0.0, None)
    text = stream.getvalue()
    assert "~ certificate: CN=a.example.com until " in text
    assert " → CN=b.example.com until " in text
    assert text.count("SHA-256 ") == 2
    assert "BEGIN" not in text


@pytest.mark.parametrize(
    ("type_", "path", "told"),
    [
        ("octavia:index:Listener", "rateLimit.periodSeconds", "rate_limit.period_seconds"),
        ("octavia:index:Listener", 'insertHeaders["X-Forwarded-For"]', 'insert_headers["X-Forwarded-For"]'),
        ("octavia:index:LoadBalancer", "additionalVips[0].ipAddress", "additional_vips[0].ip_address"),
        ("octavia:local:Host", "networkId", "network_id"),
        ("octavia:index:Listener", "provider", "provider"),
        ("probe:index:Member", "someThing[0].inIt", "someThing[0].inIt"),
    ],
)
def test_attributes_are_spelled_as_in_the_program(type_: str, path: str, told: str) -> None:
    assert traffic_effects.python_path(type_, path) == told


def test_ignore_changes_that_name_nothing_are_found_before_the_first_create() -> None:
    (line,) = traffic_effects.ignore_changes_problems("octavia:index:Member", ["wieght", "weight"])
    assert line == "ignore_changes: wieght is no input, so nothing is ignored by it; did you mean weight?"
    assert traffic_effects.ignore_changes_problems("probe:index:Member", ["anything"]) == []
