# SPDX-License-Identifier: Apache-2.0
"""The provider's own configuration: which control plane to use.

Environment variables (OCTAVIA_ENDPOINT, OCTAVIA_HOME, OS_*) are read when a call is made and never written into the state: a
stack that two people share must not change because their environments differ.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from octavia_provider.client import embedded, keystone
from octavia_provider.kit import paths, urls
from octavia_provider.model.errors import spell
from octavia_provider.model.metadata import Attribute, attributes
from octavia_provider.model.naming import camel
from octavia_provider.model.near import did_you_mean
from octavia_provider.model.unknown import Unknown
from octavia_provider.model.validation import validate

from . import values
from .inputs import Failure

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

OCTAVIA = "octavia"
"""The driver of an Octavia that somebody else runs."""
NAMES = ("endpoint", "home", "driver", *keystone.OPTIONS)
_MEANS_ANOTHER = ("endpoint", "home", "driver", "authUrl", "region")
"""Options that may name another control plane; the others say who asks it, and how."""
IGNORED = frozenset({"version", "pluginDownloadURL"})
"""Inputs of a provider resource that belong to the engine. Names that begin with two underscores do too."""


def check(news: Mapping[str, Any]) -> list[Failure]:
    """Validate the configuration; return the failures."""
    from .provider_config import ProviderConfig

    given = {name: value for name, value in values.plain(dict(news)).items() if not _of_engine(name)}
    found = [
        Failure(
            name,
            f"is not a configuration of this provider, which knows {', '.join(NAMES)}{did_you_mean(name, NAMES)}",
        )
        for name, value in given.items()
        if name not in NAMES and value is not None and not isinstance(value, Unknown)
    ]
    known = {
        attr.name: _read(attr, given[attr.camel]) for attr in attributes(ProviderConfig).values() if attr.camel in given
    }
    found += [Failure(camel(spell(v.path)), v.message) for v in validate(ProviderConfig, known).violations]
    return sorted(found, key=lambda failure: [*given].index(failure.path))


def _read(attr: Attribute, value: Any) -> Any:
    """The configuration of a stack is text."""
    words = {"true": True, "false": False}
    return words.get(value.lower(), value) if attr.annotation is bool and isinstance(value, str) else value


def drives_octavia(config: Mapping[str, Any]) -> bool:
    """Whether the resources are made by an Octavia that somebody else runs."""
    return (get_text(config, "driver") or os.environ.get("OCTAVIA_DRIVER")) == OCTAVIA


def connect(config: Mapping[str, Any], *, start: bool, tell: Callable[[str], None] | None = None) -> Client:
    """The client of what the options name; nothing is called yet. ``tell`` hears for whom it signs in, once it has."""
    endpoint, home = get_text(config, "endpoint"), get_text(config, "home")
    if not drives_octavia(config):
        if not signs_in(config):
            return embedded.connect(endpoint, home, start=start)
        from octavia_provider.client.signed_in import SignedInClient

        return SignedInClient(keystone.login(_options(config)), embedded.endpoint(endpoint), tell=tell)
    from octavia_provider.client.stock.service import StockClient

    login = keystone.login(_options(config)) if signs_in(config) else None  # without: one that asks for no token
    endpoint = endpoint or os.environ.get("OCTAVIA_ENDPOINT") or None
    return StockClient(login, keystone.without_version(endpoint) if endpoint else None)


def signs_in(config: Mapping[str, Any]) -> bool:
    """Whether a token of Keystone is needed. A control plane of ours is one of a cloud where the options say so: with ``OS_CLOUD``
    alone, which is for all of a shell's programs, the embedded one stays what is meant."""
    if not drives_octavia(config):
        return not get_text(config, "home") and any(get_text(config, name) for name in ("cloud", "authUrl"))
    endpoint = get_text(config, "endpoint") or os.environ.get("OCTAVIA_ENDPOINT")
    return not endpoint or keystone.named(_options(config))


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values.plain(config.get(name)) for name in keystone.OPTIONS}


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
    deciding = (*_MEANS_ANOTHER, *(("cloud",) if signs_in(olds) != signs_in(news) else ()))
    found = []
    for name in NAMES:
        old, new = values.plain(olds.get(name)) or None, values.plain(news.get(name)) or None
        if isinstance(new, Unknown):
            found.append((name, name in deciding))
        elif old != new:
            found.append((name, name in deciding and not before & after))
    return found


def _control_planes(config: Mapping[str, Any]) -> frozenset[str]:
    """Those that are named share their state: who names one of them names them all."""
    home = get_text(config, "home")
    url = embedded.endpoint(get_text(config, "endpoint"), home)
    stock = drives_octavia(config)
    if stock or (url is None and signs_in(config)):
        where = [url, *(get_text(config, name) for name in ("authUrl", "region"))]
        return frozenset({" ".join([OCTAVIA if stock else "catalogue", *(word or "" for word in where)])})
    return frozenset(map(_key, urls.endpoints(url))) if url else frozenset({str(paths.home(home))})


def _key(url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}{parts.path.rstrip('/')}"
