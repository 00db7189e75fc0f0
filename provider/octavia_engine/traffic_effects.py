# SPDX-License-Identifier: Apache-2.0
"""Effects of a preview's steps on traffic, from the model: per step, and worst first.

Under the ``pulumi`` CLI the plugin reports them where it can: no provider is called for deletes in a preview.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from octavia_engine import propertypath, urns, values
from octavia_engine.events import Step
from octavia_provider.model import effects, ignoring, kinds
from octavia_provider.model.effects import Effect, Severity
from octavia_provider.model.metadata import Attribute, attributes, inputs
from octavia_provider.model.unknown import UNKNOWN

_WORDS = {kinds.token(kind): kind for kind in kinds.KINDS}
NamedEffect = tuple[str, Effect]


def _kind(type_: str) -> Any:
    """The class of a resource of ours; None of others."""
    word = _WORDS.get(type_)
    return kinds.KINDS[word] if word else None


def effects_of_step(step: Step) -> list[NamedEffect]:
    """The effects of a step, worst first, each with its cause: an input, or the operation."""
    kind = _kind(step.type)
    if kind is None or step.retained or step.hidden:
        return []
    match step.op:
        case "create":
            return [("made", effects.of_create(kind.KIND, _to_model(kind, step.state.inputs)))]
        case "replace":
            return [("replaced", effects.of_replace(kind.KIND))]
        case "delete":
            return [("deleted", effects.of_delete(kind.KIND))]
        case "update":
            return effects.worst_first(_update_effects(step, kind))
        case _:
            return []


def _update_effects(step: Step, kind: Any) -> Iterator[NamedEffect]:
    known = {attr.camel: attr for attr in inputs(kind).values()}
    olds, news = (_to_model(kind, state.inputs if state else {}) for state in (step.old, step.new))
    paths = () if step.diff is None else (*(step.diff.detailed or ()), *step.diff.changed_keys)
    for name in dict.fromkeys(str(propertypath.parse(path)[0]) for path in paths):
        if name in known:
            attr = known[name]
            yield attr.name, effects.of_change(kind.KIND, attr, olds.get(attr.name), news.get(attr.name))


def _to_model(kind: Any, properties: dict[str, Any]) -> dict[str, Any]:
    """The inputs by the model's names."""
    return {attr.name: _to_plain(properties[attr.camel]) for attr in inputs(kind).values() if attr.camel in properties}


def _to_plain(value: Any) -> Any:
    return UNKNOWN if values.has_unknown(value) else values.plain(value)


def ignore_changes_problems(type_: str, paths: list[str]) -> list[str]:
    """Problems with ``ignore_changes`` of a new resource of ours; the plugin reports those of existing ones."""
    kind = _kind(type_)
    return list(ignoring.problems(kind, paths, underscores=True)) if kind and paths else []


def python_path(type_: str, path: str) -> str:
    """A property path of one of our types as Python spells it: ``rateLimit.periodSeconds`` → ``rate_limit.period_seconds``.
    Paths of other types are unchanged."""
    kind = _kind(type_)
    if kind is None:
        return path
    inner: type | None = kind
    attr: Attribute | None = None
    text = ""
    for step in propertypath.parse(path):
        if isinstance(step, int):
            text += f"[{step}]"
        elif attr is not None and attr.is_map:
            text += f'["{step}"]'
        else:
            attr = {a.camel: a for a in attributes(inner).values()}.get(step) if inner else None
            inner = attr.nested if attr else None
            name = attr.name if attr else step
            text += f".{name}" if text else name
    return text


class EffectSummary:
    """The effects of a whole run."""

    def __init__(self) -> None:
        self._found: list[tuple[str, Effect]] = []
        self._without_effect = 0

    def add(self, step: Step) -> None:
        """Add the effects of a step."""
        for name, effect in effects_of_step(step):
            if effect.severity > Severity.NONE:
                self._found.append((f"{urns.display_name(step.urn)} {name}", effect))
            else:
                self._without_effect += 1

    def lines(self) -> Iterator[str]:
        """The list of effects, worst first; nothing when no load balancer is affected."""
        if not self._found and not self._without_effect:
            return
        if not self._found:
            yield "Effect on traffic: none."
            return
        yield "Effect on traffic, the worst first:"
        for name, effect in effects.worst_first(self._found):
            yield f"  {'!' * max(0, effect.severity - Severity.OTHERWISE):>2} {name}: {effect.text}"
