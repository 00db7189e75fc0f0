# SPDX-License-Identifier: Apache-2.0
"""Tables of directives, one for each kind of object: what may be said of an object, and when; nothing else may.

A directive is a line of words. ``{name}`` stands for that attribute of the object, in the very form in which the model has
it, so that a drawn string can stand as that one word and nowhere else; ``{int}`` stands for any number. A table says when
an object means a directive: then it has to come, and as often as it is meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fuzz.parser import Unmeant
from octavia_provider.model.base import Model

Facts = Mapping[str, str]
When = Callable[[Any], object]
EVALUATED = ("http-request", "http-response", "http-after-response", "tcp-request", "http-check", "stick")
"""What haproxy evaluates line by line, in the order of the lines (4.2). Of use_backend at most one is true: one policy decides."""
INT = "\0int"  # no word of a configuration has a control character
_NAME = re.compile(r"\{([a-z0-9_.]+)\}")


def always(_: Any) -> bool:
    """When what is said does not depend on the object."""
    return True


@dataclass(frozen=True, slots=True)
class Meant:
    """One directive that an object means: the words that have to stand there. ``rank``: after which others of its rules, where the
    meaning hangs on that; 0: anywhere among them."""

    name: str
    words: tuple[str, ...]
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """The directives of a kind of object, each with when it is meant. ``ranks``: of those that haproxy evaluates in their order."""

    kind: str
    directives: Mapping[str, When]
    ranks: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """What the tally calls them."""
        return frozenset(f"{self.kind}: {directive}" for directive in self.directives)

    def means(self, thing: Any, facts: Facts, rank: int = 0) -> Iterator[Meant]:
        """What this object means. ``rank``: of what has none of its own."""
        for directive, when in self.directives.items():
            if when(thing):
                yield Meant(f"{self.kind}: {directive}", filled(directive, facts), self.ranks.get(directive, rank))


def filled(directive: str, facts: Facts) -> tuple[str, ...]:
    """The words of a directive with the facts put in."""
    known = {**facts, "int": INT}
    return tuple(_NAME.sub(lambda name: known[name[1]], word) for word in directive.split(" "))


def flat(resource: Any, prefix: str = "") -> dict[str, str]:
    """The attributes of an object as facts."""
    return dict(_flat(resource, prefix)) if resource is not None else {}


def _flat(resource: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for name in type(resource).model_fields:
        value = getattr(resource, name)
        if isinstance(value, Model):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "" if value is None else str(value)


def host(address: str) -> str:
    """An address where haproxy may expect a port behind it."""
    return f"[{address}]" if ":" in address else address


def as_format(text: str) -> str:
    """A text where haproxy reads a log format: a percent sign that stands for itself is doubled."""
    return text.replace("%", "%%")


def same_lines(lines: Iterable[Sequence[str]], meant: Iterable[Meant], where: str, met: Counter[str]) -> None:
    """The lines are those that are meant; in any order, but for those that have ranks."""
    left: dict[tuple[str, ...], list[Meant]] = {}
    for one in sorted(meant, key=lambda one: one.rank):
        left.setdefault(one.words, []).append(one)
    highest: dict[str, Meant] = {}
    for line in lines:
        if not left.get(tuple(line)):
            raise Unmeant(f"a line that no object means: {line} in {where}")
        one = left[tuple(line)].pop(0)
        met[one.name] += 1
        if one.rank and one.words[0] in EVALUATED:
            before = highest.setdefault(one.words[0], one)
            if one.rank < before.rank:
                raise Unmeant(f"a line that is meant to stand before {before.words}: {line} in {where}")
            highest[one.words[0]] = one
    if missing := [words for words, ones in left.items() if ones]:
        raise Unmeant(f"lines that are meant and missing: {missing} in {where}")


def same_options(words: Sequence[str], meant: Iterable[Meant], where: str, met: Counter[str]) -> None:
    """The rest of a line is made of those options that are meant, in any order."""
    rest, left = list(words), list(meant)
    while rest:
        taken = next((one for one in left if _begins(rest, one.words)), None)
        if taken is None:
            raise Unmeant(f"an option that no object means: {rest} in {where}")
        left.remove(taken)
        met[taken.name] += 1
        del rest[: len(taken.words)]
    if left:
        raise Unmeant(f"options that are meant and missing: {left} in {where}")


def _begins(rest: Sequence[str], words: Sequence[str]) -> bool:
    return len(rest) >= len(words) and all(
        wanted == word or (wanted == INT and word.isdigit()) for wanted, word in zip(words, rest, strict=False)
    )


def equal(one: Any, other: Any, what: str) -> None:
    """Or what is there is not meant."""
    if one != other:
        raise Unmeant(f"{what}: {one}, and the model means {other}")
