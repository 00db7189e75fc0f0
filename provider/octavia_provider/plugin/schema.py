# SPDX-License-Identifier: Apache-2.0
"""schema.json, from the model: ``python -m octavia_provider.plugin.schema > schema.json``; ``--check`` compares.

Format: Pulumi's package schema (pulumi: pkg/codegen/schema/pulumi.json). The same model gives the same bytes.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from octavia_provider import __version__
from octavia_provider.client import keystone
from octavia_provider.model.errors import PermanentError
from octavia_provider.model.kinds import KINDS, PARENTS
from octavia_provider.model.metadata import Attribute, attributes, inputs

from .functions import FUNCTIONS, Function
from .handler import ResourceHandler
from .provider_config import ProviderConfig
from .resources import HANDLERS, TOKENS

FILE = "schema.json"
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
_IMPORT = {
    "member": "<pool id>/<member id>", "l7_rule": "<L7 policy id>/<L7 rule id>", "availability_zone": "<name>",
    "quota": "<project id>",
}  # fmt: skip


def text() -> str:
    """The schema as it is committed."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def committed() -> str:
    """The committed schema: beside the package in a wheel, at the root of the repository in a working tree."""
    here = Path(__file__).resolve()
    for path in (here.parents[1] / FILE, here.parents[3] / FILE):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise PermanentError(
        f"{FILE} is missing from the installation.", subject="schema", hint="install the package again"
    )


def build() -> dict[str, Any]:
    """The schema, as JSON's values."""
    types: dict[str, Any] = {}
    return {
        "name": "octavia",
        "displayName": "Octavia",
        "version": __version__,
        "description": "Load balancers as code: Octavia's load balancing, stood up by its own resources.",
        "keywords": ["pulumi", "octavia", "load-balancer", "haproxy", "category/network", "kind/native"],
        "license": "Apache-2.0",
        "attribution": "haproxy does the balancing; the API is OpenStack Octavia's v2.",
        "publisher": "Octavia as code",
        "meta": {"moduleFormat": "(.*)", "supportPack": True},
        "config": {"variables": _configuration()},
        "provider": {
            "description": "The provider: which control plane makes the resources.",
            "inputProperties": _configuration(),
        },
        "resources": {handler.type_name: _resource(handler, types) for handler in HANDLERS},
        "functions": {token: _function(function, types) for token, function in FUNCTIONS.items()},
        "types": dict(sorted(types.items())),
        "language": {
            "python": {
                "packageName": "pulumi_octavia",
                "pyproject": {"enabled": True},
                "respectSchemaVersion": True,
                "inputTypes": "classes-and-dicts",
                "requires": {"pulumi": ">=3.165.0,<4.0.0"},
                "readme": "Octavia as code: load balancers as Pulumi resources.",
            },
            "nodejs": {
                "packageName": "pulumi-octavia",
                "respectSchemaVersion": True,
                "dependencies": {"@pulumi/pulumi": "^3.165.0"},
                "readme": "Octavia as code: load balancers as Pulumi resources.",
            },
            "go": {
                "importBasePath": "pulumi-octavia/sdk/go/octavia",
                "respectSchemaVersion": True,
            },
        },
    }


def _configuration() -> dict[str, Any]:
    # no defaultInfo: with it SDKs write one user's environment into the state that others share (see config)
    return {attr.camel: _option(attr) for attr in attributes(ProviderConfig).values()}


def _option(attr: Attribute) -> dict[str, Any]:
    variable = (
        "OS_…, where neither it nor a cloud is given,"
        if attr.camel in keystone.OPTIONS
        else f"OCTAVIA_{attr.name.upper()}"
    )
    found = {
        "type": _TYPES[attr.annotation],
        "description": f"{attr.doc} The environment variable {variable} says it otherwise.",
    }
    return {**found, "secret": True} if attr.secret else found


def _resource(handler: ResourceHandler, types: dict[str, Any]) -> dict[str, Any]:
    kind: type = handler.kind
    word = handler.kind_name
    prefix = handler.type_name.rpartition(":")[2]
    given = {a.camel: _property(a, handler.type_name, types, as_input=True) for a in inputs(kind).values()}
    shown = {a.camel: _property(a, handler.type_name, types, as_input=False) for a in attributes(kind).values()}
    return {
        "description": f"{inspect.getdoc(kind)}\n\n{_import(word, handler.type_name, prefix)}",
        "inputProperties": given,
        "requiredInputs": [a.camel for a in inputs(kind).values() if a.required],
        "properties": shown,
        "required": [a.camel for a in attributes(kind).values() if _always_shown(a)],
    }


def _import(kind: str, type_name: str, name: str) -> str:
    example = name[0].lower() + name[1:]
    return f"## Import\n\n```sh\n$ pulumi import {type_name} {example} {_IMPORT.get(kind, '<id>')}\n```\n"


def _property(attr: Attribute, owner: str, types: dict[str, Any], *, as_input: bool) -> dict[str, Any]:
    found = _shape(attr, attr.annotation, owner, types)
    found["description"] = _description(attr, as_input=as_input)
    if as_input and _shows_default(attr):
        found["default"] = attr.default
    if as_input and attr.replaces:
        found["willReplaceOnChanges"] = True
    if attr.secret:
        found["secret"] = True
    return found


def _shape(attr: Attribute, annotation: Any, owner: str, types: dict[str, Any]) -> dict[str, Any]:
    if annotation is attr.annotation and attr.is_list:
        return {"type": "array", "items": _shape(attr, attr.item, owner, types)}
    if annotation is attr.annotation and attr.is_map:
        return {"type": "object", "additionalProperties": _shape(attr, attr.item, owner, types)}
    if attr.nested is annotation and attr.nested is not None:
        return {"$ref": f"#/types/{_object(attr.nested, owner, types)}"}
    if attr.choices:
        return {"$ref": f"#/types/{_enum(attr, owner, types)}"}
    return {"type": _TYPES[annotation]}


def _object(kind: type, owner: str, types: dict[str, Any]) -> str:
    token = f"{owner.rpartition(':')[0]}:{owner.rpartition(':')[2]}{kind.__name__}"
    types[token] = {
        "type": "object",
        "description": inspect.getdoc(kind),
        "properties": {a.camel: _property(a, token, types, as_input=True) for a in attributes(kind).values()},
        "required": [a.camel for a in attributes(kind).values() if a.required],
    }
    return token


def _enum(attr: Attribute, owner: str, types: dict[str, Any]) -> str:
    head, _, name = owner.rpartition(":")
    token = f"{head}:{name}{attr.camel[0].upper()}{attr.camel[1:]}"
    types[token] = {
        "type": "string",
        "enum": [{"name": _identifier(c.value), "value": c.value, "description": c.doc} for c in attr.choices],
    }
    return token


def _identifier(value: str) -> str:
    """A name for a constant: ``RoundRobin``, from which each language makes its own (Python: ``ROUND_ROBIN``; given
    that, its generator would make ``ROUN_D_ROBIN``); ``1.1`` becomes ``V1_1``."""
    if value[:1].isdigit():
        return "V" + "".join(c if c.isalnum() else "_" for c in value)
    return "".join(part.capitalize() for part in value.replace("-", "_").split("_"))


def _description(attr: Attribute, *, as_input: bool) -> str:
    parts = [attr.doc]
    if as_input:
        parts += [_limits(attr), _change(attr)]
    return "\n\n".join(part for part in parts if part)


def _limits(attr: Attribute) -> str:
    said = []
    if attr.minimum is not None or attr.maximum is not None:
        low = f"{attr.minimum:g}" if attr.minimum is not None else ""
        high = str(int(attr.maximum)) if attr.maximum is not None else ""
        said.append(f"From {low} to {high}.")
    if attr.max_length is not None:
        said.append(f"At most {attr.max_length} characters.")
    if attr.max_items is not None:
        said.append(f"At most {attr.max_items} items.")
    if attr.reference:
        said.append(f"The id of a `{TOKENS[attr.reference]}`.")
    if attr.unordered:
        said.append("The order means nothing.")
    return " ".join(said)


def _change(attr: Attribute) -> str:
    if attr.replaces:
        when = ", after the old one is deleted" if attr.delete_before_replace else ""
        return f"A change makes a new resource{when}: {attr.why}."
    said = f"A change is made in place. What it costs: {attr.cost}." if attr.cost else ""
    if attr.replaces_between is not None:
        return f"{said} A change {attr.replaces_between.doc} makes a new resource: {attr.why}."
    return said


def _shows_default(attr: Attribute) -> bool:
    """Pulumi's schema has defaults for plain values; an empty one says nothing."""
    return isinstance(attr.default, (bool, int, float, str)) and attr.default != ""


def _always_shown(attr: Attribute) -> bool:
    if attr.required or attr.always:
        return True
    return not attr.nullable and (attr.output or attr.default is not None)


def _function(function: Function, types: dict[str, Any]) -> dict[str, Any]:
    kind: type = function.kind
    owner = TOKENS[function.kind_name]
    docs = {
        "id": "Its id. Give this or `name`.",
        "name": "Its name, where only one has it. Give this or `id`.",
        function.parent: _looked_up(function),
    }
    shown = [a for a in attributes(kind).values() if not a.hidden]  # the control plane does not give them out
    properties = {a.camel: _property(a, owner, types, as_input=False) for a in shown}
    return {
        "description": f"Looks up a {function.kind.LABEL} by id or by name.",
        "inputs": {
            "type": "object",
            "properties": {name: {"type": "string", "description": docs[name]} for name in function.arguments},
            **({"required": [function.parent]} if function.parent else {}),
        },
        "outputs": {
            "type": "object",
            "properties": {"id": {"type": "string", "description": "Its id."}, **properties},
            "required": ["id", *(a.camel for a in shown if _always_shown(a))],
        },
    }


def _looked_up(function: Function) -> str:
    parent = PARENTS.get(function.kind_name)
    return f"The {KINDS[parent[0]].LABEL} in which it is looked up." if parent else ""


def main(arguments: Sequence[str]) -> int:
    """Print the schema; with ``--check`` say whether the committed one is it."""
    made = text()
    if "--check" not in arguments:
        sys.stdout.write(made)
        return 0
    if made == committed():
        return 0
    sys.stderr.write("schema.json is not what the model says. Try: make schema\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
