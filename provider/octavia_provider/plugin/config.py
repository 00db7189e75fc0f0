# SPDX-License-Identifier: Apache-2.0
"""The provider's own configuration: which control plane to use.

Environment variables (OCTAVIA_ENDPOINT, OCTAVIA_HOME) are read when a call is made and never written into the state: a
stack that two people share must not change because their environments differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from octavia_provider.client import embedded
from octavia_provider.kit import paths
from octavia_provider.model.echo import quoted
from octavia_provider.model.near import did_you_mean
from octavia_provider.model.unknown import Unknown

from . import values
from .inputs import Failure


@dataclass(frozen=True, slots=True)
class Variable:
    """One configuration value of the provider."""

    name: str
    environment: str
    doc: str


VARIABLES = (
    Variable(
        "endpoint",
        "OCTAVIA_ENDPOINT",
        "URL of the control plane, such as `http://octavia.example.org:9876`. When not given, the embedded control plane "
        "of this machine, which is started when it is needed.",
    ),
    Variable(
        "home",
        "OCTAVIA_HOME",
        "Directory of the embedded control plane: its database, certificates, socket and log.",
    ),
)
NAMES = frozenset(variable.name for variable in VARIABLES)
IGNORED = frozenset({"version", "pluginDownloadURL"})
"""Inputs of a provider resource that belong to the engine. Names that begin with two underscores do too."""


def check(news: Mapping[str, Any]) -> list[Failure]:
    """Validate the configuration; return the failures."""
    found = []
    for name, value in values.plain(dict(news)).items():
        if name in IGNORED or name.startswith("__") or value is None or isinstance(value, Unknown):
            continue
        if name not in NAMES:
            found.append(
                Failure(
                    name,
                    f"is not a configuration of this provider, which knows {' and '.join(sorted(NAMES))}"
                    f"{did_you_mean(name, NAMES)}",
                )
            )
        elif not isinstance(value, str):
            found.append(Failure(name, "must be a string"))
        elif name == "endpoint" and value and not _is_url(value):
            found.append(Failure(name, f"{quoted(value)} is not a URL that begins with http:// or https://"))
    return found


def get_text(config: Mapping[str, Any], name: str) -> str | None:
    """The value of a string option; None when it is unset, empty or unknown."""
    value = values.plain(config.get(name))
    return value if isinstance(value, str) and value else None


def diff(olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The options that differ, and whether each forces a replacement because the control plane is another one.

    An unknown value counts as another control plane. Two spellings of one URL are equal.
    """
    before, after = _control_plane_key(olds), _control_plane_key(news)
    found = []
    for name in sorted(NAMES):
        old, new = values.plain(olds.get(name)) or None, values.plain(news.get(name)) or None
        if isinstance(new, Unknown):
            found.append((name, True))
        elif old != new:
            found.append((name, before != after))
    return found


def _control_plane_key(config: Mapping[str, Any]) -> str:
    home = get_text(config, "home")
    url = embedded.endpoint(get_text(config, "endpoint"), home)
    if url:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"{parts.scheme}://{parts.hostname}:{port}{parts.path.rstrip('/')}"
    return str(paths.home(home))


def _is_url(value: str) -> bool:
    parts = urlsplit(value)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
