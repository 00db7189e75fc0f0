# SPDX-License-Identifier: Apache-2.0
"""The engine against recorded runs of Pulumi's: the same calls in a permitted order, and the same state after."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

TRACES = Path(__file__).parent / "traces"
FOLDERS = sorted(path.name for path in TRACES.iterdir() if path.is_dir())
RUNS = {"up --yes --skip-preview": "up", "preview --json": "preview", "destroy --yes --skip-preview": "destroy"}
NOISE = ("randomSeed", "resourceStatusAddress", "resourceStatusToken")
SIGNATURE = "4dabf18193072939515e22adb298388d"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
PLAIN = {"key": '"k3y"', "token": '"t0k"'}  # what the recorded stack's secrets were
SUPPORTED = [
    "01-preview-create", "02-create", "03-same", "04-preview-update", "05-update", "06-replace",
    "07-replace-delete-first", "08-replace-parent", "09-delete-one", "11-after-drift", "13-import-option",
    "14-import-mismatch", "18-delete-unprotected", "19-ignore-changes", "20-alias-rename",
    "21-component", "22-retained", "23-create-fails", "24-init-failed", "25-init-repaired", "26-check-fails",
    "27-invoke", "28-get", "29-explicit-provider", "30-explicit-provider-change", "32-replace-on-changes",
    "33-delete-before-replace", "35-destroy",
]  # fmt: skip


def checkpoint(name: str) -> list[dict[str, Any]]:
    deployment = json.loads((TRACES / name / "checkpoint.json").read_text())["deployment"]
    return [opened(resource) for resource in deployment.get("resources") or []]


def opened(value: Any, key: str = "") -> Any:
    """With the recorded secrets in the clear."""
    if isinstance(value, dict):
        if "ciphertext" in value:
            return {SIGNATURE: value[SIGNATURE], "value": json.loads(PLAIN[key])}
        return {name: opened(item, name) for name, item in value.items()}
    return [opened(item, key) for item in value] if isinstance(value, list) else value


def before(name: str) -> list[dict[str, Any]]:
    index = FOLDERS.index(name)
    return checkpoint(FOLDERS[index - 1]) if index else []


def recorded(name: str) -> list[dict[str, Any]]:
    lines = (TRACES / name / "calls.jsonl").read_text().splitlines()
    return [call for call in map(json.loads, lines) if "/pulumirpc.ResourceProvider/" in call["method"]]


class Ids:
    """Ids that a run made, as the name of what they are of: two runs of the same thing number differently."""

    def __init__(self, calls: list[dict[str, Any]], known: set[str], after: list[dict[str, Any]]) -> None:
        made_half = (state for state in after if state.get("id", "") not in known and state.get("initErrors"))
        self.names: dict[str, str] = {state["id"]: f"<{state['urn']}>" for state in made_half}
        for call in calls:
            method, request = call["method"].rpartition("/")[2], call["request"]
            made = call.get("response", {}).get("id") if method == "Create" else None
            if method == "Configure" and request["id"] not in known | {UNKNOWN}:
                made = request["id"]
            if made:
                self.names[made] = f"<{request['urn']}>"

    def plain(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, str):
            return value
        for made, name in self.names.items():
            value = re.sub(rf"(?<![\w-]){re.escape(made)}(?![\w-])", name, value)
        return value


def essence(calls: list[dict[str, Any]], ids: Ids) -> list[tuple[str, str, str]]:
    """(method, urn, request) of each call, without what differs from run to run."""
    found = []
    for call in calls:
        method = call["method"].rpartition("/")[2]
        request = {key: value for key, value in call["request"].items() if key not in NOISE}
        if method == "Handshake":
            request = {}
        if method == "Read":  # an empty map says as little as an absent one
            request = {key: value for key, value in request.items() if value != {}}
        found.append((method, request.get("urn", ""), json.dumps(ids.plain(request), sort_keys=True)))
    return found


def resources(found: list[dict[str, Any]], ids: Ids) -> list[str]:
    kept = []
    for resource in found:
        one = {key: value for key, value in resource.items() if key not in ("created", "modified")}
        if "dependencies" in one:
            one["dependencies"] = sorted(one["dependencies"])
        kept.append(json.dumps(ids.plain(one), sort_keys=True))
    return sorted(kept)


def assert_permitted(calls: list[tuple[str, str, str]], states: list[dict[str, Any]]) -> None:
    """What depends on something comes after it, and goes before it."""
    needs = {state["urn"]: {*state.get("dependencies", ()), state.get("parent", "")} for state in states}
    for index, (method, urn, _) in enumerate(calls):
        later = calls[index + 1 :]
        for needed in needs.get(urn, ()):
            if method in ("Create", "Update"):
                assert not [c for c in later if c[1] == needed and c[0] in ("Create", "Update")], (urn, needed)
            if method == "Delete" and "Create" not in {c[0] for c in calls if c[1] == urn}:
                assert not [c for c in calls[:index] if c[1] == needed and c[0] == "Delete"], (urn, needed)


def assert_ordered(states: list[dict[str, Any]]) -> None:
    """Everything in a checkpoint comes after what it refers to."""
    seen: set[str] = set()
    for state in states:
        needs = {state.get("parent"), *state.get("dependencies", ()), state.get("provider", "").rpartition("::")[0]}
        assert needs - {None, ""} <= seen, state["urn"]
        seen.add(state["urn"])


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_recorded_step_gives_the_same_calls_and_the_same_state(name: str, stack: Any) -> None:
    start = before(name)
    if start:
        stack.seed(start)
    else:
        stack.cloud_file.write_text(json.dumps({"last": 0, "objects": {}}))
    for number in (77, 78, 79):  # objects that others made, for the imports
        found = {"address": f"10.9.9.{86 - number}", "balancerId": "balancer-8", "weight": 3, "status": "ACTIVE"}
        if f"member-{number}" not in stack.cloud():
            stack.put(f"member-{number}", found)
    stack.source((TRACES / name / "program.py").read_text())
    told = json.loads((TRACES / name / "step.json").read_text())
    kind = RUNS[told["command"].removeprefix("pulumi ")]

    result, shown = stack.run(kind)

    assert result.ok == (told["exit"] == 0), shown
    ours, theirs = stack.calls(), recorded(name)
    known = {state["id"] for state in start if "id" in state}
    after = stack.deployment() if kind != "preview" else {"resources": []}
    our_ids, their_ids = Ids(ours, known, after["resources"]), Ids(theirs, known, checkpoint(name))
    our_calls, their_calls = essence(ours, our_ids), essence(theirs, their_ids)
    assert Counter(our_calls) == Counter(their_calls)
    for urn in {call[1] for call in their_calls} - {""}:
        assert [call for call in our_calls if call[1] == urn] == [call for call in their_calls if call[1] == urn]
    assert_permitted(our_calls, start + checkpoint(name))
    if kind != "preview":
        assert resources(after["resources"], our_ids) == resources(checkpoint(name), their_ids)
        assert_ordered(after["resources"])
        assert not after.get("pending_operations")
