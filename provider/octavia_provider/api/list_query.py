# SPDX-License-Identifier: Apache-2.0
"""Lists: filters, order, pages and fields of the query (octavia/api/common/pagination.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from multidict import MultiMapping
from yarl import URL

from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import Invalid, Violation
from octavia_provider.model.metadata import Attribute

from .faults import Faults
from .requests import FLAGS

Object = Mapping[str, Any]
T = TypeVar("T", bound=Object)
NULL = "null"
_PAGING = frozenset({"limit", "marker", "page_reverse", "fields", "sort", "sort_key", "sort_dir", "all_projects"})
_TAGS: Mapping[str, Callable[[set[str], set[str]], bool]] = {
    "tags": lambda has, asked: asked <= has,
    "tags-any": lambda has, asked: bool(asked & has),
    "not-tags": lambda has, asked: not asked <= has,
    "not-tags-any": lambda has, asked: not asked & has,
}
# What openstacksdk and python-octaviaclient call them.
_ALIASES = {"load_balancer_id": "loadbalancer_id", "health_monitor_id": "healthmonitor_id", "rule_value": "value"}
Known = Mapping[str, Attribute | None]
"""The names that a list's objects have, each with its declaration in the model where it has one."""


def looked_at(query: MultiMapping[str]) -> set[str] | None:
    """The attributes by which a page is filtered and sorted; None where all are asked for."""
    if "limit" not in query:
        return None
    filters = {"tags" if name in _TAGS else _ALIASES.get(name, name) for name in query if name not in _PAGING}
    return filters | {part.partition(":")[0] for part in (*_words(query, "sort"), *_words(query, "sort_key"))}


def page(
    objects: Sequence[T],
    words: str,
    url: URL,
    known: Known | None = None,
    *,
    render: Callable[[T], dict[str, Any]] = dict,
    read: Callable[[Sequence[T]], None] = lambda _: None,
) -> dict[str, Any]:
    """The answer to a list: ``objects`` in the order of creation, narrowed to what the query asks for.

    ``known``: what may be asked for; what the first object has where nothing is said. ``render``: an object with all that
    it has, which is asked of those of the page alone. ``read``: is told of these first, where more than their ids is shown.
    """
    query = url.query
    if known is None and objects:
        known = dict.fromkeys(objects[0])
    faults, found, limit = Faults(), objects, None
    with faults.collected():
        found = _filtered(objects, query, known)
    with faults.collected():
        found = _sorted(found, query, known)
    with faults.collected():
        limit = _limit(query.get("limit"))
    with faults.collected():
        names = _fields(query, known)
    with faults.collected():
        found, links = _cut(found, url, limit)
    faults.check()
    if names != ["id"]:
        read(found)
    return {words: [_only(item, names) if names else render(item) for item in found], f"{words}_links": links}


def select(item: Object, query: MultiMapping[str]) -> dict[str, Any]:
    """The fields that are asked for; ``fields`` may be repeated or separated by commas."""
    return _only(item, _fields(query, item) or list(item))


def _only(item: Object, names: Sequence[str]) -> dict[str, Any]:
    return {name: item[name] for name in names}


def _fields(query: MultiMapping[str], known: Mapping[str, Any] | None) -> list[str]:
    names = _words(query, "fields")
    if strangers := [name for name in names if known is not None and name not in known]:
        message = f"{' and '.join(map(repr, strangers))} can not be shown; what can is {', '.join(known or ())}"
        raise Invalid([Violation(("fields",), message)])
    return names


def _words(query: MultiMapping[str], name: str) -> list[str]:
    return [part.strip() for value in query.getall(name, []) for part in value.split(",") if part.strip()]


def _filtered(objects: Sequence[T], query: MultiMapping[str], known: Known | None) -> Sequence[T]:
    tests = [_tags(name, set(_words(query, name))) for name in _TAGS if name in query]
    wrong: list[Violation] = []
    for name in dict.fromkeys(key for key in query if key not in _PAGING and key not in _TAGS):
        attribute = name if known is None or name in known else _ALIASES.get(name, name)
        if known is not None and attribute not in known:
            wrong.append(Violation((name,), "is not an attribute that can be filtered by"))
            continue
        try:
            fact = known.get(attribute) if known is not None else None
            tests.append(_equals(attribute, [_asked(fact, value) for value in query.getall(name)], fact))
        except ValueError as error:
            wrong.append(Violation((name,), str(error)))
    if wrong:
        raise Invalid(wrong)
    return [item for item in objects if all(test(item) for test in tests)] if tests else objects


DIGITS = 18


def _tags(name: str, asked: set[str]) -> Callable[[Object], bool]:
    return lambda item: _TAGS[name](set(item.get("tags") or ()), asked)


def _asked(attribute: Attribute | None, text: str) -> str:
    """A value to look for, as it would be written; ``ValueError`` when the attribute can have no such value."""
    if attribute is None or text == NULL:
        return text
    if attribute.annotation is bool:
        flag = FLAGS.get(text.lower()) if text else None
        if flag is None:
            raise ValueError(f"must be true or false, and is {quoted(text)}")
        return str(flag).lower()
    if attribute.annotation in (int, float):
        return _number(attribute, text)
    if attribute.choices and text not in (words := [choice.value for choice in attribute.choices]):
        raise ValueError(f"{quoted(text)} is not one of {', '.join(words)}")
    return attribute.format(text) if attribute.annotation is str and attribute.format else text


def _number(attribute: Attribute, text: str) -> str:
    try:
        return str(attribute.annotation(text))
    except ValueError:
        what = "a whole number" if attribute.annotation is int else "a number"
        raise ValueError(f"must be {what}, and is {quoted(text)}") from None


def _equals(name: str, asked: Sequence[str], fact: Attribute | None = None) -> Callable[[Object], bool]:
    lowered = {value.lower() for value in asked}

    def test(item: Object) -> bool:
        value = item[name]
        if isinstance(value, bool) or value is None:
            return (NULL if value is None else str(value).lower()) in lowered
        if isinstance(value, list):
            return any((part.get("id") if isinstance(part, dict) else str(part)) in asked for part in value)
        return str(value) in asked or _meant(fact, value) in asked

    return test


def _meant(fact: Attribute | None, value: Any) -> str | None:
    """What a text means, however it is spelled."""
    return fact.format(value) if fact is not None and fact.format is not None and isinstance(value, str) else None


def _sorted(objects: Sequence[T], query: MultiMapping[str], known: Known | None) -> Sequence[T]:
    pairs = [part.partition(":")[::2] for part in _words(query, "sort")]
    directions = _words(query, "sort_dir")
    for i, key in enumerate(_words(query, "sort_key")):
        pairs.append((key, directions[i] if i < len(directions) else ""))
    wrong: list[Violation] = []
    for key, direction in pairs:
        if direction not in ("", "asc", "desc"):
            wrong.append(Violation(("sort",), f"{quoted(direction)} is no direction; asc and desc are"))
        if known is not None and key not in known:
            wrong.append(Violation(("sort",), f"{quoted(key)} is not an attribute that can be sorted by"))
    if wrong:
        raise Invalid(wrong)
    for key, direction in reversed(pairs):
        objects = sorted(objects, key=_rank(key), reverse=direction == "desc")
    return objects


def _rank(key: str) -> Callable[[Object], tuple[bool, Any]]:
    def rank(item: Object) -> tuple[bool, Any]:
        value = item[key]
        return value is not None, str(value) if isinstance(value, (list, dict)) or value is None else value

    return rank


def _cut(objects: Sequence[T], url: URL, limit: int | None) -> tuple[Sequence[T], list[dict[str, str]]]:
    marker = url.query.get("marker")
    backwards = url.query.get("page_reverse", "").lower() == "true"
    name = "id" if objects and "id" in objects[0] else "name"  # providers and capabilities have names alone
    start, end = 0, len(objects)
    if marker is not None:
        place = next((i for i, item in enumerate(objects) if str(item[name]) == marker), None)
        if place is None:
            raise Invalid([Violation(("marker",), f"there is no object {marker} in this list")])
        start, end = (0, place) if backwards else (place + 1, end)
    if limit is not None:
        start, end = (max(start, end - limit), end) if backwards else (start, min(end, start + limit))
    links = []
    if limit is not None and start < end < len(objects):
        links.append(page_link(url, "next", str(objects[end - 1][name]), backwards=False))
    if limit is not None and 0 < start < end:
        links.append(page_link(url, "previous", str(objects[start][name]), backwards=True))
    return objects[start:end], links


def _limit(given: str | None) -> int | None:
    if given is None:
        return None
    if not given.isdecimal() or len(given) > DIGITS:
        raise Invalid([Violation(("limit",), f"{quoted(given)} is not a whole number of {DIGITS} digits at most")])
    return int(given) or None  # 0: no limit, as in Octavia


def page_link(url: URL, rel: str, marker: str, *, backwards: bool) -> dict[str, str]:
    """Where another page is."""
    query = [(key, value) for key, value in url.query.items() if key not in ("marker", "page_reverse")]
    query.append(("marker", marker))
    if backwards:
        query.append(("page_reverse", "True"))
    return {"rel": rel, "href": str(url.with_query(query))}
