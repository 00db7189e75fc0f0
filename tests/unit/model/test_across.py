# SPDX-License-Identifier: Apache-2.0
"""Every refusal that the rules across objects can utter is met by a row of the table."""

from __future__ import annotations

import ast
import inspect
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import across
from octavia_provider.model import graph
from octavia_provider.model.common import Resource
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validation import validate

IDS = {name: str(uuid.uuid5(uuid.NAMESPACE_OID, name)) for name in across.BASE}
ELSEWHERE = ("other", "foreign", "net")
# Refusals that no row can meet, and why.
UNMET = {
    'Violation(("allowed_cidrs",), message)': "the embedded cloud refuses security groups before; test_graph.py has it"
}


def built(name: str, kind: str, inputs: Mapping[str, Any]) -> Resource:
    """The object as the API would have it: validated, with defaults."""
    result = validate(KINDS[kind], across.resolved(inputs, IDS))
    assert not result.violations
    return graph.build(kind, result.values, id=IDS.get(name, name))


def base() -> graph.Graph:
    """What belongs to load balancer ``lb``."""
    balancer = built("lb", "load_balancer", {**across.BASE["lb"][1], "vip_address": "10.66.0.2"})
    whole = graph.Graph(balancer)  # type: ignore[arg-type]
    for name, (kind, inputs) in across.BASE.items():
        if name not in ELSEWHERE and name != "lb":
            whole.add(built(name, kind, inputs))
    return whole


def ask(whole: graph.Graph, row: across.Row) -> None:
    """Ask the rules of one row, as the API does."""
    inputs = {**(across.BASE[row.name][1] if row.changes else {}), **row.inputs}
    changed = built(row.name, row.kind, inputs)
    if row.kind == "tls_container":
        after = replace(whole, tls_containers={**whole.tls_containers, changed.id: changed})
        for listener in whole.listeners.values():
            graph.check(after, listener)
    else:
        graph.check(whole, changed)


def refusals() -> Iterator[tuple[range, str]]:
    """Where graph.py makes a violation with words of its own, or returns a complaint: lines, source."""
    text = inspect.getsource(graph)
    for node in ast.walk(ast.parse(text)):
        made = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Violation"
        said = isinstance(node, ast.Return) and isinstance(node.value, ast.JoinedStr)
        if made or said:
            yield range(node.lineno, (node.end_lineno or node.lineno) + 1), ast.get_source_segment(text, node) or ""


@contextmanager
def lines_run(lines: set[int]) -> Iterator[None]:
    """Collect the lines of graph.py that are run."""

    def trace(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != graph.__file__:
            return None
        if event == "line":
            lines.add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_every_refusal_has_a_row() -> None:
    whole, run = base(), set[int]()
    with lines_run(run):
        for row in across.ROWS:
            ask(whole, row)
    assert [said for lines, said in refusals() if run.isdisjoint(lines)] == list(UNMET)
