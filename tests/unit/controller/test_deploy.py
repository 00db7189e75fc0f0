# SPDX-License-Identifier: Apache-2.0
"""Blame: whatever set of objects an amphora refuses, those and only those are taken out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import record, scope
from octavia_amphora.wire.config import compose
from octavia_amphora.wire.messages import Complaint, Refusal
from octavia_provider.controller.deploy import Outcome, push_what_can_be
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.model.errors import PermanentError
from octavia_provider.ports import Record
from octavia_provider.render.environment import Templates
from octavia_provider.render.haproxy import Placement, Rendered, render


def known(*records: Record) -> DesiredState:
    desired_state = DesiredState(scope())
    desired_state.read(scope(), [record("load_balancer", "lb"), *records])
    return desired_state


def listeners(count: int) -> list[Record]:
    return [record("listener", f"li{i}", protocol_port=1000 + i) for i in range(count)]


def run(
    desired_state: DesiredState, refuse: Callable[[Rendered], Refusal | None], templates: Templates | None = None
) -> tuple[Outcome, int]:
    """Push to an amphora that refuses as told; the outcome and the number of pushes."""
    pushes = 0

    def rendered(refused: set[str], dropped: set[str]) -> Mapping[str, Rendered]:
        graph = desired_state.graph(refused, dropped)
        assert graph is not None
        return {"amp": render(graph, Placement(vips=("10.0.0.9",)), templates)}

    async def push(what: Mapping[str, Rendered]) -> Mapping[str, Refusal]:
        nonlocal pushes
        pushes += 1
        refusal = refuse(what["amp"])
        return {"amp": refusal} if refusal else {}

    return asyncio.run(push_what_can_be(desired_state, rendered, push)), pushes


def refuse_ports(bad: set[int], *, lines: bool) -> Callable[[Rendered], Refusal | None]:
    def verdict(what: Rendered) -> Refusal | None:
        text = compose(what.configuration).splitlines()
        found = [n for n, line in enumerate(text, start=1) if any(line.endswith(f":{port}") for port in bad)]
        if not found:
            return None
        complaints = tuple(Complaint(message="no", line=n) for n in found) if lines else ()
        return Refusal(kind="refused", message="no", complaints=complaints)

    return verdict


def test_all_good__one_push() -> None:
    outcome, pushes = run(known(*listeners(50)), refuse_ports(set(), lines=True))
    assert (outcome.errors, pushes) == ({}, 1)


def test_one_of_fifty_with_its_line__two_pushes() -> None:
    outcome, pushes = run(known(*listeners(50)), refuse_ports({1017}, lines=True))
    assert outcome.errors == {"li17": "no"}
    assert len(outcome.rendered["amp"].configuration.frontends) == 49
    assert pushes == 2


@given(st.sets(st.integers(1000, 1019)), st.booleans())
def test_the_guilty_and_nobody_else(bad: set[int], lines: bool) -> None:
    outcome, pushes = run(known(*listeners(20)), refuse_ports(bad, lines=lines))
    assert set(outcome.errors) == {f"li{port - 1000}" for port in bad}
    assert len(outcome.rendered["amp"].configuration.frontends) == 20 - len(bad)
    assert pushes <= 3 + 2 * 5 * max(1, len(bad))


def test_a_changed_object_goes_back_to_its_accepted_form() -> None:
    old = {**record("listener", "li").spec, "protocol_port": 80}
    outcome, _ = run(
        known(record("listener", "li", protocol_port=1000, accepted=old)), refuse_ports({1000}, lines=True)
    )
    assert outcome.refused == {"li"}
    assert outcome.rendered["amp"].configuration.frontends["li"].binds[0].port == 80


def test_an_object_whose_accepted_form_is_refused_too_is_dropped() -> None:
    spec = record("listener", "li", protocol_port=1000).spec
    desired_state = known(record("listener", "li", protocol_port=1000, accepted=spec), record("listener", "ok"))
    outcome, _ = run(desired_state, refuse_ports({1000}, lines=True))
    assert outcome.dropped == {"li"}
    assert list(outcome.rendered["amp"].configuration.frontends) == ["ok"]


def test_an_amphora_that_refuses_everything_is_an_error_that_says_so() -> None:
    refuse = Refusal(kind="failed", message="out of memory")
    with pytest.raises(PermanentError, match="even what was in force before: out of memory"):
        run(known(*listeners(3)), lambda _: refuse)


@pytest.mark.parametrize("by_line", [True, False])
def test_an_operators_template_at_fault__it_and_the_object_are_named_and_nothing_is_taken_out(
    by_line: bool, tmp_path: Path
) -> None:
    path = tmp_path / "haproxy" / "listener.j2"
    path.parent.mkdir()
    path.write_text('{% extends "octavia/haproxy/listener.j2" %}{% block frontend %}    nonsense\n{% endblock %}')
    refusals = []

    def refuse(what: Rendered) -> Refusal:
        line = compose(what.configuration).splitlines().index("    nonsense") + 1
        complaint = Complaint(message="unknown keyword", line=line if by_line else None, proxy="li0")
        refusals.append(complaint)
        return Refusal(kind="refused", message="no", complaints=(complaint,))

    with pytest.raises(PermanentError) as error:
        run(known(*listeners(3)), refuse, Templates(tmp_path))
    assert len(refusals) == 1
    for word in (str(path), "listener li0", "unknown keyword", "octaviactl config lb --diff"):
        assert word in str(error.value)


def test_what_one_of_a_pair_refuses_is_refused_by_its_own_line__and_not_tried_again() -> None:
    """The second one's configuration is a line longer, and it alone says no."""
    desired_state = known(*listeners(5))
    more = {"first": ("10.0.0.9",), "second": ("10.0.0.9", "10.0.0.8")}
    pushed: list[set[str]] = []

    def rendered(refused: set[str], dropped: set[str]) -> Mapping[str, Rendered]:
        graph = desired_state.graph(refused, dropped)
        assert graph is not None
        return {id_: render(graph, Placement(vips=vips)) for id_, vips in more.items()}

    async def push(what: Mapping[str, Rendered]) -> Mapping[str, Refusal]:
        pushed.append(set(what["first"].configuration.frontends))
        refusal = refuse_ports({1003}, lines=True)(what["second"])
        return {"second": refusal} if refusal else {}

    outcome = asyncio.run(push_what_can_be(desired_state, rendered, push))
    assert outcome.errors == {"li3": "no"}
    assert pushed == [{f"li{i}" for i in range(5)}, {"li0", "li1", "li2", "li4"}]
    again = asyncio.run(push_what_can_be(desired_state, rendered, push, before=outcome))
    assert again.errors == outcome.errors
    assert pushed[2:] == [{"li0", "li1", "li2", "li4"}]
