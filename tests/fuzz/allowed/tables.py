# SPDX-License-Identifier: Apache-2.0
"""Tables of directives, one for each kind of object: what may be said of an object, and when; nothing else may.

A directive is a line of words. ``{name}`` stands for that attribute of the object, in the very form in which the model has
it, so that a drawn string can stand as that one word and nowhere else; ``{int}`` stands for any number. A table says when
an object means a directive: then it has to come, and as often as it is meant.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fuzz.parser import Unmeant

Facts = Mapping[str, str]
When = Callable[[Any], object]
INT = "\0int"  # no word of a configuration has a control character
_NAME = re.compile(r"\{([a-z0-9_.]+)\}")


def always(_: Any) -> bool:
    """When what is said does not depend on the object."""
    return True


@dataclass(frozen=True, slots=True)
class Meant:
    """One directive that an object means: the words that have to stand there."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The directives of a kind of object, each with when it is meant."""

    kind: str
    directives: Mapping[str, When]

    @property
    def names(self) -> frozenset[str]:
        """What the tally calls them."""
        return frozenset(f"{self.kind}: {directive}" for directive in self.directives)

    def means(self, thing: Any, facts: Facts) -> Iterator[Meant]:
        """What this object means."""
        for directive, when in self.directives.items():
            if when(thing):
                yield Meant(f"{self.kind}: {directive}", filled(directive, facts))


def filled(directive: str, facts: Facts) -> tuple[str, ...]:
    """The words of a directive with the facts put in."""
    known = {**facts, "int": INT}
    return tuple(_NAME.sub(lambda name: known[name[1]], word) for word in directive.split(" "))


def flat(resource: Any, prefix: str = "") -> dict[str, str]:
    """The attributes of an object as facts."""
    return dict(_flat(resource, prefix)) if resource is not None else {}


def _flat(resource: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(resource):
        value = getattr(resource, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", "" if value is None else str(value)


def host(address: str) -> str:
    """An address where haproxy may expect a port behind it."""
    return f"[{address}]" if ":" in address else address


def as_format(text: str) -> str:
    """A text where haproxy reads a log format: a percent sign that stands for itself is doubled."""
    return text.replace("%", "%%")


def same_lines(lines: Iterable[Sequence[str]], meant: Iterable[Meant], where: str, met: Counter[str]) -> None:
    """The lines are those that are meant, in any order."""
    left: dict[tuple[str, ...], list[str]] = {}
    for one in meant:
        left.setdefault(one.words, []).append(one.name)
    for line in lines:
        if not left.get(tuple(line)):
            raise Unmeant(f"a line that no object means: {line} in {where}")
        met[left[tuple(line)].pop()] += 1
    if missing := [words for words, names in left.items() if names]:
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
