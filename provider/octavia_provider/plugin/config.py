# SPDX-License-Identifier: Apache-2.0
"""The provider's own configuration: which control plane to use.

Environment variables (OCTAVIA_ENDPOINT, OCTAVIA_HOME) are read when a call is made and never written into the state: a
stack that two people share must not change because their environments differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from octavia_provider.client import embedded
from octavia_provider.kit import paths, urls
from octavia_provider.model.errors import spell
from octavia_provider.model.near import did_you_mean
from octavia_provider.model.unknown import Unknown
from octavia_provider.model.validation import validate

from . import values
from .inputs import Failure

NAMES = ("endpoint", "home")
IGNORED = frozenset({"version", "pluginDownloadURL"})
"""Inputs of a provider resource that belong to the engine. Names that begin with two underscores do too."""


def check(news: Mapping[str, Any]) -> list[Failure]:
    """Validate the configuration; return the failures."""
    from .provider_config import ProviderConfig

    given = {name: value for name, value in values.plain(dict(news)).items() if not _of_engine(name)}
    found = [
        Failure(
            name,
            f"is not a configuration of this provider, which knows {' and '.join(NAMES)}{did_you_mean(name, NAMES)}",
        )
        for name, value in given.items()
        if name not in NAMES and value is not None and not isinstance(value, Unknown)
    ]
    known = {name: given[name] for name in NAMES if name in given}
    found += [Failure(spell(v.path), v.message) for v in validate(ProviderConfig, known).violations]
    return sorted(found, key=lambda failure: [*given].index(failure.path))


def _of_engine(name: str) -> bool:
    return name in IGNORED or name.startswith("__")


def get_text(config: Mapping[str, Any], name: str) -> str | None:
    """The value of a string option; None when it is unset, empty or unknown."""
    value = values.plain(config.get(name))
    return value if isinstance(value, str) and value else None


def diff(olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The options that differ, and whether each forces a replacement because the control plane is another one.

    An unknown value counts as another control plane. Two spellings of one URL are equal, and so are lists that share one.
    """
    before, after = _control_planes(olds), _control_planes(news)
    found = []
    for name in NAMES:
        old, new = values.plain(olds.get(name)) or None, values.plain(news.get(name)) or None
        if isinstance(new, Unknown):
            found.append((name, True))
        elif old != new:
            found.append((name, not before & after))
    return found


def _control_planes(config: Mapping[str, Any]) -> frozenset[str]:
    """Those that are named share their state: who names one of them names them all."""
    home = get_text(config, "home")
    url = embedded.endpoint(get_text(config, "endpoint"), home)
    return frozenset(map(_key, urls.endpoints(url))) if url else frozenset({str(paths.home(home))})


def _key(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path.rstrip('/')}"
