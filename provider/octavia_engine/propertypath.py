# SPDX-License-Identifier: Apache-2.0
"""Property paths: ``members[0].weight``, ``tags["a b"]``, ``members[*].weight`` (``resource.PropertyPath`` in Pulumi).

They name what ``ignoreChanges`` keeps, what ``replaceOnChanges`` watches and what a detailed diff speaks of.
"""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

from octavia_engine.values import Props, is_secret
from octavia_provider.model.errors import Invalid, Violation

Step: TypeAlias = str | int
ANY = "*"


def parse(text: str) -> tuple[Step, ...]:
    """The steps of a path: names, indexes, ``*`` for every one. Raises Invalid on a path that is none."""
    steps: list[Step] = []
    rest = text
    while rest:
        if rest.startswith("["):
            step, rest = _bracket(rest, text)
        else:
            rest = rest.removeprefix(".")
            ends = [at for at in (rest.find("."), rest.find("[")) if at >= 0]
            end = min(ends, default=len(rest))
            step, rest = rest[:end], rest[end:]
            if not step:
                raise _invalid_path(text)
        steps.append(step)
    return tuple(steps)


def _invalid_path(text: str) -> Invalid:
    return Invalid([Violation((), f"{text!r} is not a property path, such as members[0].weight")])


def _bracket(rest: str, text: str) -> tuple[Step, str]:
    if rest.startswith('["'):
        end = rest.find('"]', 2)
        if end < 0:
            raise _invalid_path(text)
        return rest[2:end].replace('\\"', '"'), rest[end + 2 :]
    end = rest.find("]")
    inner = rest[1:end]
    if end < 0 or not (inner == ANY or inner.isdigit()):
        raise _invalid_path(text)
    return (ANY if inner == ANY else int(inner)), rest[end + 1 :]


def contains(pattern: tuple[Step, ...], path: tuple[Step, ...]) -> bool:
    """Whether the path lies at or below what the pattern names."""
    if len(pattern) > len(path):
        return False
    return all(want in (ANY, have) for want, have in zip(pattern, path, strict=False))


_MISSING: Any = object()


def keep_old(news: Props, olds: Props, paths: list[str]) -> Props:
    """``news`` with the values of ``olds`` at the paths: what ``ignoreChanges`` means."""
    if not paths:
        return news
    kept = copy.deepcopy(news)
    for path in paths:
        if path == ANY:
            return copy.deepcopy(olds)
        _keep(kept, olds, parse(path))
    return kept


def _keep(news: Any, olds: Any, path: tuple[Step, ...]) -> None:
    """Below two containers of the same shape; where the shapes differ there is nothing to keep."""
    step, rest = path[0], path[1:]
    for key in _keys(news, olds, step):
        old, new = _get(olds, key), _get(news, key)
        if rest:
            if isinstance(old, dict | list) and isinstance(new, dict | list):
                _keep(_inner(new), _inner(old), rest)
        elif old is _MISSING:
            if isinstance(news, dict):
                news.pop(key, None)
        elif isinstance(news, dict):
            news[str(key)] = copy.deepcopy(old)
        elif isinstance(key, int) and key < len(news):
            news[key] = copy.deepcopy(old)


def _inner(value: Any) -> Any:
    return value["value"] if is_secret(value) else value


def _keys(news: Any, olds: Any, step: Step) -> list[Step]:
    if step != ANY:
        return [step]
    if isinstance(news, dict) and isinstance(olds, dict):
        return sorted({*news, *olds})
    if isinstance(news, list) and isinstance(olds, list):
        return list(range(len(news)))
    return []


def _get(container: Any, key: Step) -> Any:
    if isinstance(container, dict):
        return container.get(str(key), _MISSING)
    if isinstance(container, list) and isinstance(key, int) and key < len(container):
        return container[key]
    return _MISSING
