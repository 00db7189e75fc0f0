# SPDX-License-Identifier: Apache-2.0
"""Which step a difference requires: none, an update or a replacement; and their order. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from octavia_engine import propertypath, values
from octavia_engine.provider import NONE, SOME, UNSURE, Diff, PropertyDiff
from octavia_engine.state import ResourceState
from octavia_engine.values import Props

SAME, UPDATE, REPLACE = "same", "update", "replace"


def compare(olds: Props, news: Props) -> Diff:
    """The difference of two property maps, when no provider computes it."""
    olds, news = values.plain(olds), values.plain(news)
    changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
    detailed = {
        key: PropertyDiff("add" if key not in olds else "delete" if key not in news else "update") for key in changed
    }
    return Diff(SOME if changed else NONE, changed_keys=changed, detailed=detailed)


def resolve_diff(diff: Diff, old: ResourceState, news: Props, replace_on_changes: list[str]) -> Diff:
    """The provider's diff with DIFF_UNKNOWN resolved and ``replaceOnChanges`` applied."""
    if diff.changes == UNSURE:
        diff = Diff(compare(old.inputs, news).changes, diff.replace_keys, diff.changed_keys, detailed=diff.detailed)
    if diff.changes == NONE or not replace_on_changes:
        return diff
    patterns = [propertypath.parse(path) for path in replace_on_changes]

    def hit(path: str) -> bool:
        return any(propertypath.contains(pattern, propertypath.parse(path)) for pattern in patterns)

    detailed = diff.detailed
    if detailed is not None:
        detailed = {path: _as_replacement(found) if hit(path) else found for path, found in detailed.items()}
    keys = [*diff.replace_keys, *(key for key in diff.changed_keys if hit(key) and key not in diff.replace_keys)]
    return Diff(diff.changes, keys, diff.changed_keys, diff.delete_before_replace, detailed)


def _as_replacement(found: PropertyDiff) -> PropertyDiff:
    kind = found.kind if found.kind.endswith("-replace") else f"{found.kind}-replace"
    return PropertyDiff(kind, found.input_diff)


def choose_step(diff: Diff, old: ResourceState) -> str:
    """same, update or replace. A partially created resource is updated."""
    if diff.changes == SOME and diff.replace:
        return REPLACE
    return UPDATE if diff.changes == SOME or old.init_errors else SAME


def dependents(root: str, states: Iterable[ResourceState]) -> list[ResourceState]:
    """What depends on ``root``, directly or not, dependencies first. ``states`` come in that order already.

    Being a child is no dependence; its provider, its dependencies and ``deletedWith`` are.
    """
    reached, found = {root}, []
    for state in states:
        if state.urn not in reached and reached & (state.required_urns() - {state.parent} | set(state.dependencies)):
            reached.add(state.urn)
            found.append(state)
    return found


def inputs_with_unknowns(state: ResourceState, replaced: set[str]) -> Props | None:
    """The inputs, unknown where they depend on replaced resources; None when none does."""
    hit = {key for key, deps in state.property_dependencies.items() if replaced.intersection(deps)} & set(state.inputs)
    if not hit:
        return None
    return {key: values.UNKNOWN if key in hit else value for key, value in state.inputs.items()}
