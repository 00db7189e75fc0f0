# SPDX-License-Identifier: Apache-2.0
"""``ignoreChanges``: paths that no input has, so that nothing is ignored by them (engines say nothing of it)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from .metadata import Attribute, attributes, inputs
from .near import near

ANY = "*"
_STEP = re.compile(r'\.?([^.\[\]"]+)|\[(\d+|\*)\]|\["((?:[^"\\]|\\.)*)"\]')
Step = str | int


class _NoInput(Exception):
    """Why a path is none; ``meant``: the path that probably was."""

    def __init__(self, why: str, meant: str = "") -> None:
        super().__init__(why)
        self.meant = meant


def problems(kind: type, paths: Iterable[str], *, underscores: bool = False) -> Iterator[str]:
    """A line for each path that names no input; paths are Pulumi's (``sessionPersistence.type``, ``tags[0]``, ``*``).

    ``underscores``: the program's language writes names with them.
    """
    option = "ignore_changes" if underscores else "ignoreChanges"
    for path in paths:
        try:
            _check(kind, path, underscores=underscores)
        except _NoInput as verdict:
            asked = f"; did you mean {verdict.meant}?" if verdict.meant else ""
            yield f"{option}: {path} {verdict}, so nothing is ignored by it{asked}"


def _check(kind: type, path: str, *, underscores: bool) -> None:
    steps = _parse(path)
    if steps == [ANY]:
        return
    inner: type | None = kind
    attr: Attribute | None = None
    for place, step in enumerate(steps):
        if attr is not None and attr.is_map:
            return  # any key of a map is one
        if isinstance(step, int) or step == ANY:
            if attr is None or not (attr.is_list or attr.nested):
                raise _NoInput(f"is no input: {_spelled(steps[:place]) or 'the resource'} is no list")
            continue
        attr = _named(inner, steps, place, underscores=underscores)
        inner = attr.nested


def _named(kind: type | None, steps: Sequence[Step], place: int, *, underscores: bool) -> Attribute:
    """The input that the step at ``place`` names."""
    if kind is None:
        raise _NoInput(f"is no input: {_spelled(steps[:place])} has no parts")
    known = {attr.camel: attr for attr in attributes(kind).values()}
    attr = known.get(str(steps[place]))
    if attr is None:
        found = near(str(steps[place]), [each.camel for each in inputs(kind).values()])
        if found is None:
            raise _NoInput("is no input")
        # the SDK for Python translates a name that stands alone, and nothing else
        name = known[found].name if underscores and len(steps) == 1 else found
        raise _NoInput("is no input", _spelled([*steps[:place], name, *steps[place + 1 :]]))
    if attr.output:
        raise _NoInput("is an output, not an input")
    return attr


def _spelled(steps: Sequence[Step]) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) or step == ANY else f".{step}" if text else step
    return text


def _parse(path: str) -> list[Step]:
    steps: list[Step] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            break
        name, index, quoted = match.groups()
        steps.append(quoted if quoted is not None else name or (int(index) if index != ANY else ANY))
        at = match.end()
    if not steps or at < len(path):
        raise _NoInput("is not a property path, such as sessionPersistence.type or tags[0]")
    return steps
