# SPDX-License-Identifier: Apache-2.0
"""The programming language of the Pulumi program, which decides how messages spell attribute names.

The protocol does not carry it, so it is read from ``Pulumi.yaml``: engines start plugins in the program's folder.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import Attribute, attributes
from octavia_provider.model.naming import camel

OPTIONS = ("delete_before_replace", "ignore_changes", "retain_on_delete", "deleted_with", "replace_on_changes")
"""Resource options that messages mention."""
_RUNTIME = re.compile(r"^runtime:[ \t]*(?:[\"']?(\w+)|\n(?:[ \t].*\n)*?[ \t]+name:[ \t]*[\"']?(\w+))", re.MULTILINE)
_SNAKE = re.compile(r"(?<![\w'\"/.$-])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w'\"/$-])")
_CAMEL = re.compile(r"(?<![\w'\"/$-])[a-z][a-z0-9]*(?:[A-Z][a-z0-9]+)+(?![\w'\"/$-])")


@functools.cache
def uses_snake_case() -> bool:
    """Whether the program spells ``protocol_port`` (Python) rather than ``protocolPort`` (all other languages)."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in ("Pulumi.yaml", "Pulumi.yml"):
            try:
                text = (folder / name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            return runtime(text) == "python"
    return False


def runtime(project: str) -> str:
    """The runtime's name in a Pulumi.yaml, "" when it has none. JSON is accepted too."""
    if project.lstrip().startswith("{"):
        import yaml

        found = (yaml.safe_load(project) or {}).get("runtime") or ""
        return str(found.get("name", "") if isinstance(found, dict) else found)
    match = _RUNTIME.search(project)
    return (match[1] or match[2] or "") if match else ""


def attribute_name(attr: Attribute) -> str:
    """An attribute's name in the program's language."""
    return attr.name if uses_snake_case() else attr.camel


def translate_names(text: str) -> str:
    """The text with every attribute and option spelled as in the program's language."""
    names, pattern = (_snake_names(), _CAMEL) if uses_snake_case() else (_camel_names(), _SNAKE)
    return pattern.sub(lambda match: names.get(match[0], match[0]), text)


@functools.cache
def _camel_names() -> dict[str, str]:
    return {name: camel(name) for name in (*OPTIONS, *(attr.name for attr in _all_attributes()))}


@functools.cache
def _snake_names() -> dict[str, str]:
    return {spelling: name for name, spelling in _camel_names().items()}


def _all_attributes() -> list[Attribute]:
    found: list[Attribute] = []
    kinds: list[type] = list(KINDS.values())
    for kind in kinds:
        for attr in attributes(kind).values():
            found.append(attr)
            kinds.extend(inner for inner in (attr.nested,) if inner is not None and inner not in kinds)
    return found
