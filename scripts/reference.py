# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference/resources.md, replacements.md and events.md from the model, octaviactl.md from its commands; ``--check`` fails
when one is stale."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import commands

from octavia_provider.model import effects, stock
from octavia_provider.model.events import Reason
from octavia_provider.model.kinds import KINDS, token
from octavia_provider.model.metadata import Attribute, Rule, attributes
from octavia_provider.model.naming import camel

BARE = {"timeout", "delay", "passphrase", "intermediates", "certificate", "key", "value", "action"}
"""Attributes of one word that rules name."""
FOLDER = Path(__file__).parents[1] / "docs" / "reference"
HEAD = """# Resources

Made from the model by `make docs`; not written by hand. Names are those of a program; the API spells them with
underscores (`protocolPort` is `protocol_port`), and so does the SDK for Python.

"""


REPLACEMENTS = """# What still makes a new object

Made from the model by `make docs`; not written by hand. Everything else is changed in place: the object keeps its id, and
[resources](resources.md) says what each change costs the traffic. A new object is made before the old one goes, unless both
would want the same unique value.

| resource | input | why a change makes a new one |
|---|---|---|
"""
EVENTS = """# Events

Made from the code by `make docs`; not written by hand. [How to read and follow them](../how-to/events.md).

An event is one decision of a control plane. `message` is a sentence for people, `reason` one of these words for programs.

| reason | severity | what it means | equal ones are counted as one for |
|---|---|---|---|
"""


STOCK = """# What a stock Octavia does not do

Made from one table (`model/stock.py`) by `make docs`; not written by hand. It is about [`driver: octavia`](../how-to/stock-octavia.md).

## Refused in Check
| resource | input | why |
|---|---|---|
"""
STOCK_FIXED = """
What our own control plane refuses is refused with this driver too: the model is one ([resources](resources.md)).

## Makes a new object
Beside [what always does](replacements.md):

| resource | input | why |
|---|---|---|
"""
STOCK_SINCE = """
## Needs a newer Octavia
The versions are those of its API (`GET /`). 2.5 (2019) is the oldest that is driven; members go in batches from 2.11 on.

| resource | input | since |
|---|---|---|
"""


def main() -> int:
    texts = {
        "resources.md": HEAD + "".join(kind(k) for k in KINDS.values()),
        "octaviactl.md": commands.page(),
        "replacements.md": REPLACEMENTS + "".join(replacements(k) for k in KINDS.values()),
        "stock-octavia.md": stock_octavia(),
        "events.md": EVENTS + "".join(reason(r) for r in sorted(Reason, key=lambda r: r.name)),
    }
    stale = 0
    for name, text in texts.items():
        file = FOLDER / name
        if "--check" not in sys.argv:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            print(f"{name} is not what the code says. Try: make docs", file=sys.stderr)
            stale = 1
    return stale


def stock_octavia() -> str:
    """What a stock Octavia lacks, changes by a new object, and has only in newer versions."""
    fixed = [(kind, camel(name), why) for kind, names in stock.FIXED.items() for name, why in names.items()]
    since = [(kind, camel(name), f"2.{v}") for kind, names in stock.SINCE.items() for name, v in names.items()]
    since += [
        (kind, f"{camel(name)}: {choice}", f"2.{v}")
        for kind, names in stock.CHOICES_SINCE.items()
        for name, choices in names.items()
        for choice, v in choices.items()
    ]
    text = ""
    for head, rows in ((STOCK, [*stock.rows()]), (STOCK_FIXED, fixed), (STOCK_SINCE, sorted(since))):
        text += head + "".join(f"| {token(k)} | {f'`{path}`' if path else 'all'} | {why} |\n" for k, path, why in rows)
    return text


def reason(one: Reason) -> str:
    minutes = one.fold_seconds // 60
    folded = f"{minutes} min" if minutes else "each is kept"
    return f"| `{one.name}` | {one.severity} | {one.doc} | {folded} |\n"


def title(cls: Any) -> str:
    return token(cls.KIND).replace(":index:", ".").replace(":", ".")


def replacements(cls: type) -> str:
    found = (a for a in attributes(cls).values() if a.replaces or a.replaces_between)
    return "".join(f"| {title(cls)} | `{a.camel}`{between(a)} | {a.why} |\n" for a in found)


def between(a: Attribute) -> str:
    return f", {a.replaces_between.doc}" if a.replaces_between else ""


def kind(cls: type) -> str:
    facts = attributes(cls)
    lines = [f"## {title(cls)}\n\n{(cls.__doc__ or '').strip()}\n\n{life(cls)}"]
    lines.append("| input | type | default | what it is | a change |\n|---|---|---|---|---|\n")
    lines.extend(row(a) for a in facts.values() if not a.output)
    for a in facts.values():
        if a.nested is not None or a.json is not None:
            inner = attributes(a.nested or a.json)
            holds = "holds, as JSON in the API's spelling" if a.json else "holds"
            lines.append(
                f"\n`{a.camel}` {holds}:\n\n| input | type | default | what it is | a change |\n|---|---|---|---|---|\n"
            )
            lines.extend(row(b, parent=a) for b in inner.values())
            told = [*rules(a.json)] if a.json is not None else []
            lines.append("\n" * bool(told) + "".join(f"- {rule}\n" for rule in told))
    lines.append("\n| output | type | what it is |\n|---|---|---|\n")
    lines.extend(f"| `{a.camel}` | {shape(a)} | {a.doc} |\n" for a in facts.values() if a.output)
    told = [*rules(cls)]
    if told:
        lines.append("\nRules:\n\n" + "".join(f"- {rule}\n" for rule in told))
    return "".join(lines) + "\n"


def life(cls: Any) -> str:
    """What the traffic hears of its beginning, its replacement and its end."""
    found = effects.LIVES[cls.KIND]
    if {found.create.text, found.replace.text, found.delete.text} == {"none"}:
        return ""
    rows = (("made", found.create), ("replaced", found.replace), ("deleted", found.delete))
    return (
        "| when it is | effect on the traffic |\n|---|---|\n" + "".join(f"| {n} | {e.text} |\n" for n, e in rows) + "\n"
    )


def row(a: Attribute, parent: Attribute | None = None) -> str:
    name = a.name if parent is not None and parent.json is not None else a.camel
    default = "**required**" if a.required else "chosen" if a.filled else f"`{plain(a.default)}`"
    if a.name == "name" and parent is None:
        default = "made from the resource's name"
    change = f"replaces: {a.why}" if a.replaces else "in place" + (f": {a.cost}" if a.cost else parent_cost(parent))
    if a.replaces_between:
        change += f"; {a.replaces_between.doc} it replaces: {a.why}"
    doc = a.doc + (" " + " · ".join(f"`{c.value}`: {c.doc}" for c in a.choices) + "." if a.choices else "") + limits(a)
    return f"| `{name}` | {shape(a)} | {default} | {doc} | {change} |\n"


def parent_cost(parent: Attribute | None) -> str:
    return f": {parent.cost}" if parent and parent.cost else ""


def plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return {"": '""', "()": "[]"}.get(str(value), str(value))


def limits(a: Attribute) -> str:
    parts = []
    if a.minimum is not None or a.maximum is not None:
        low = f"{a.minimum:g}" if a.minimum is not None else ""
        high = f"{int(a.maximum)}" if a.maximum is not None else ""
        parts.append(f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}")
    if a.max_length is not None:
        parts.append(f"at most {a.max_length} characters")
    return f" ({', '.join(parts)})" if parts else ""


def shape(a: Attribute) -> str:
    names = {str: "string", int: "integer", bool: "boolean", float: "number"}
    inner = a.item if a.item is not None else a.annotation
    word = names.get(inner, "object")
    return f"list of {word}s" if a.is_list else f"map of {word}s" if a.is_map else word


ALIKE = re.compile(r"(?P<before>(?:With \w+, )?)(?P<name>[a-z]\w*) (?P<verb>goes|needs) (?P<rest>.+)")
PLURAL = {"goes": "go", "needs": "need"}


def rules(cls: type) -> Iterator[str]:
    """A sentence for each rule; those that say the same of several attributes are one sentence."""
    found: tuple[Rule, ...] = getattr(cls, "RULES", ())
    unique = getattr(cls, "UNIQUE", None)
    told: dict[tuple[str, ...], list[str]] = {}
    for doc in (*(rule.doc for rule in found), *([unique.doc] if unique else ())):
        alike = ALIKE.fullmatch(doc)
        same = alike.group("before", "verb", "rest") if alike else (doc,)
        told.setdefault(same, []).append(alike["name"] if alike else "")
    names = attributes(cls)
    for same, about in told.items():
        if len(same) == 1:
            yield spelled(same[0], names)
            continue
        before, verb, rest = same
        listed = ", ".join(about[:-1]) + " and " * (len(about) > 1) + about[-1]
        yield spelled(f"{before}{listed} {PLURAL[verb] if len(about) > 1 else verb} {rest}", names)


def spelled(sentence: str, names: Mapping[str, Attribute]) -> str:
    """Attributes as a program spells them, marked."""
    return re.sub(
        r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+|\b(?:" + "|".join(BARE & names.keys() or {"$^"}) + r")\b", marked, sentence
    )


def marked(found: re.Match[str]) -> str:
    return f"`{camel(found[0])}`"


if __name__ == "__main__":
    sys.exit(main())
