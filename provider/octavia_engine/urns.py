# SPDX-License-Identifier: Apache-2.0
"""URNs and references to providers.

A URN is ``urn:pulumi:<stack>::<project>::<qualified type>::<name>``. The qualified type is the types of the parents,
joined with ``$``, without the root stack's (``pkg/resource/urn`` in Pulumi). A provider reference is the provider's
URN, ``::`` and its id.
"""

from __future__ import annotations

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"
_PREFIX = "urn:pulumi:"


def urn(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """The URN of a resource; ``parent`` is the parent's URN, or empty."""
    parent_type = qualified_type(parent) if parent else ""
    if parent_type in ("", STACK_TYPE):
        return f"{_PREFIX}{stack}::{project}::{type_}::{name}"
    return f"{_PREFIX}{stack}::{project}::{parent_type}${type_}::{name}"


def root_urn(stack: str, project: str) -> str:
    """The URN of the stack resource itself."""
    return urn(stack, project, "", STACK_TYPE, f"{project}-{stack}")


def _parts(value: str) -> list[str]:
    if not value.startswith(_PREFIX) or value.count("::") < 3:
        raise ValueError(f"{value!r} is not a URN")
    return value[len(_PREFIX) :].split("::", 3)


def qualified_type(value: str) -> str:
    """``probe:site:Site$probe:index:Member`` of a URN."""
    return _parts(value)[2]


def type_of(value: str) -> str:
    """The resource's own type: the last of the qualified type."""
    return qualified_type(value).rsplit("$", 1)[-1]


def name_of(value: str) -> str:
    """The resource's logical name; it may itself contain ``::``."""
    return _parts(value)[3]


def display_name(value: str) -> str:
    """``probe:index:Member m0``, for messages."""
    return f"{type_of(value)} {name_of(value)}"


def is_provider(type_: str) -> bool:
    """Whether a type token is that of a provider resource."""
    return type_.startswith(PROVIDER_PREFIX)


def package_of(type_: str) -> str:
    """``probe`` of ``probe:index:Member`` and of ``pulumi:providers:probe``."""
    return type_.removeprefix(PROVIDER_PREFIX) if is_provider(type_) else type_.split(":", 1)[0]


def reference(provider_urn: str, provider_id: str) -> str:
    """The reference by which a resource names its provider."""
    return f"{provider_urn}::{provider_id}"


def split_reference(ref: str) -> tuple[str, str]:
    """The provider's URN and id."""
    provider_urn, separator, provider_id = ref.rpartition("::")
    if not separator:
        raise ValueError(f"{ref!r} is not a reference to a provider")
    return provider_urn, provider_id
