# SPDX-License-Identifier: Apache-2.0
"""Text of steps, differences, outputs and counts. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from octavia_engine import events, propertypath, traffic_effects, urns, values
from octavia_engine.events import Step, Summary
from octavia_engine.values import Props
from octavia_provider.model import pem

SYMBOLS = {
    "create": "+",
    "update": "~",
    "delete": "-",
    "replace": "+-",
    "create-replacement": "++",
    "delete-replaced": "--",
    "read": ">",
    "import": "=",
    "refresh": "~",
    "same": " ",
}
_DOING = {"update": "Updating", "destroy": "Destroying", "refresh": "Refreshing"}
_DONE = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "create-replacement": "created replacement",
    "delete-replaced": "deleted original",
    "read": "read",
    "import": "imported",
    "refresh": "refreshed",
    "same": "unchanged",
}
_PLANNED = {
    "create": "create",
    "update": "update",
    "delete": "delete",
    "replace": "replace",
    "create-replacement": "create replacement",
    "delete-replaced": "delete original",
    "read": "read",
    "import": "import",
    "refresh": "refresh",
    "same": "unchanged",
}
_RETAINED = "no longer in the stack, not deleted at the provider (retain_on_delete)"
_MAX_LENGTH = 120


def headline(kind: str, stack: str, *, preview: bool) -> str:
    """``Updating (dev):``"""
    return f"Previewing {kind} ({stack}):" if preview else f"{_DOING[kind]} ({stack}):"


def resource_name(urn: str) -> str:
    """A resource's type and name."""
    return urns.display_name(urn) if urn else ""


def is_shown(step: Step, error: str | None, *, preview: bool) -> bool:
    """Whether the step gets a line: unchanged resources get none, a replacement gets one."""
    if error is not None:
        return True
    quiet = ("create-replacement", "delete-replaced") if preview else ("replace",)
    return not step.hidden and step.op not in (events.SAME, "refresh", *quiet)


def duration(seconds: float) -> str:
    """``0.4s``, ``12s``, ``3m05s``."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def step_line(step: Step, seconds: float, error: str | None, *, preview: bool) -> str:
    """``  +  probe:index:Member m0 created (0.1s)``"""
    symbol = f"{SYMBOLS[step.op]:>3}"
    if error is not None:
        return f"{symbol}  {resource_name(step.urn)} {_PLANNED[step.op]} FAILED ({duration(seconds)})"
    what = _PLANNED[step.op] if preview else f"{_DONE[step.op]} ({duration(seconds)})"
    if step.retained:
        what = f"retain: {_RETAINED}" if preview else f"retained: {_RETAINED}"
    elif step.op == "replace" and step.old and step.old.retain_on_delete:
        what += f"; the old one is retained: {_RETAINED}"
    return f"{symbol}  {resource_name(step.urn)} {what}"


def format_value(value: Any, *, show_secrets: bool) -> str:
    """A value on one line: ``[secret]``, ``[unknown]``, or JSON, shortened."""
    if values.is_unknown(value):
        return "[unknown]"
    value = values.plain(value) if show_secrets else values.redacted(value)
    if value == "[secret]":
        return "[secret]"
    if isinstance(value, str) and pem.BEGIN in value and (description := pem.in_words(value)):
        return description
    text = json.dumps(value, ensure_ascii=False)
    for unknown in values.UNKNOWNS:
        text = text.replace(json.dumps(unknown), "[unknown]")
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"


def diff_lines(step: Step, *, show_secrets: bool) -> Iterator[str]:
    """The changes of a step, one property per line: ``~ weight: 1 → 5``."""
    if step.op in ("create", "import", "read") and step.new is not None:
        for key, value in sorted(step.new.inputs.items()):
            yield f"+ {traffic_effects.python_path(step.type, key)}: {format_value(value, show_secrets=show_secrets)}"
    elif step.op in ("update", "replace", "create-replacement") and step.old and step.new:
        yield from _changed_lines(step, step.old.inputs, step.new.inputs, show_secrets=show_secrets)
    for name, effect in traffic_effects.effects_of_step(step):
        yield f"effect on traffic: {name}: {effect.text}"


def _changed_lines(step: Step, olds: Props, news: Props, *, show_secrets: bool) -> Iterator[str]:
    if step.old and step.old.init_errors:
        yield f"~ carries on where it failed: {'; '.join(step.old.init_errors)}"
    for path in sorted(changed_paths(step)):
        old, new = _value_at(olds, path), _value_at(news, path)
        forces = "  [replaces]" if _replaces(step, path) else ""
        left, right = format_value(old, show_secrets=show_secrets), format_value(new, show_secrets=show_secrets)
        name = traffic_effects.python_path(step.type, path)
        if old is None and new is None:  # an option such as its provider, not an input
            yield f"~ {name}{forces}"
        elif old is None:
            yield f"+ {name}: {right}{forces}"
        elif new is None:
            yield f"- {name}: {left}{forces}"
        else:
            yield f"~ {name}: {left} → {right}{forces}"


def changed_paths(step: Step) -> set[str]:
    """The property paths that differ, from the provider's diff."""
    if step.diff is None:
        return set()
    return set(step.diff.detailed or ()) or {*step.diff.changed_keys, *step.diff.replace_keys}


def _replaces(step: Step, path: str) -> bool:
    diff = step.diff
    if diff is None:
        return False
    found = (diff.detailed or {}).get(path)
    return found.kind.endswith("-replace") if found else path in diff.replace_keys


def _value_at(props: Any, path: str) -> Any:
    """The value at a path; secret if any parent is."""
    hidden = False
    for part in propertypath.parse(path):
        if values.is_secret(props):
            hidden, props = True, props["value"]
        if isinstance(props, dict):
            props = props.get(str(part))
        elif isinstance(props, list) and isinstance(part, int) and part < len(props):
            props = props[part]
        else:
            return None
    return values.secret(props) if hidden and props is not None else props


def diagnostic_lines(severity: str, urn: str, message: str) -> Iterator[str]:
    """``error: probe:index:Member bad: …``, further lines indented."""
    prefix = "" if severity.startswith(events.INFO) else f"{severity}: "
    where = f"{resource_name(urn)}: " if urn else ""
    first, *rest = message.rstrip().splitlines() or [""]
    yield f"{prefix}{where}{first}"
    for line in rest:
        yield f"    {line}"


def output_lines(summary: Summary, *, show_secrets: bool) -> Iterator[str]:
    """The stack's outputs, aligned."""
    width = max(map(len, summary.outputs), default=0)
    for key, value in sorted(summary.outputs.items()):
        yield f"  {key:<{width}} : {format_value(value, show_secrets=show_secrets)}"


def count_lines(summary: Summary, *, preview: bool) -> Iterator[str]:
    """``+ 5 created`` and so on."""
    order = [op for op in SYMBOLS if summary.changes.get(op)]
    for op in order:
        count = summary.changes[op] - (summary.retained if op == "delete" else 0)
        if not count:
            continue
        word = f"to {_PLANNED[op]}" if preview and op != events.SAME else _DONE[op]
        yield f"  {SYMBOLS[op]:>2} {count} {word}"
    if summary.retained:
        yield f"   . {summary.retained} {'to retain' if preview else 'retained'}: {_RETAINED}"
    if summary.errors:
        yield f"   ! {summary.errors} error{'s' * (summary.errors > 1)}"


def summary_lines(run_summary: Summary, *, preview: bool, show_secrets: bool) -> Iterator[str]:
    """Outputs, counts and duration."""
    if run_summary.outputs:
        yield "Outputs:"
        yield from output_lines(run_summary, show_secrets=show_secrets)
    yield "Resources:"
    yield from count_lines(run_summary, preview=preview)
    if run_summary.cancelled:
        yield "Cancelled; run `octaviactl up` again to go on, or `octaviactl destroy`."
    yield f"Duration: {duration(run_summary.seconds)}"
