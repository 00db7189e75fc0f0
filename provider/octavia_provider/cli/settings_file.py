# SPDX-License-Identifier: Apache-2.0
"""A file of settings (TOML) for ``octaviactl serve``: what it says stands for variables of the environment that are not set."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from octavia_provider.model.errors import Invalid, Refused, Violation

OPENSTACK, STAY = "openstack", "stay"
PREFIX = "OCTAVIA_"


def take(file: Path) -> bool:
    """Take the settings of a file. Answers whether it says that the control plane stays. ``Refused`` where it cannot be read."""
    given = read(file)
    stay = given.pop(STAY, False)
    if wrong := [
        *_strangers(given),
        *([] if isinstance(stay, bool) else [Violation((STAY,), "must be true or false")]),
    ]:
        raise Invalid(wrong, subject=f"--config {file}")
    for name, value in _variables(given):
        if not os.environ.get(name):
            os.environ[name] = value
    return bool(stay)


def read(file: Path) -> dict[str, Any]:
    """What stands in a file; ``Refused`` where it cannot be read."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", subject=f"--config {file}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"is no TOML: {error}", subject=f"--config {file}", hint="docs/reference/settings.md") from None


def _variables(given: Mapping[str, Any], prefix: str = PREFIX) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _variables(value, f"{prefix}{name.upper()}_")
        else:
            yield f"{prefix}{name.upper()}", value if isinstance(value, str) else json.dumps(value)


def _strangers(given: Mapping[str, Any]) -> Iterator[Violation]:
    from octavia_provider.clouds.openstack.settings import OpenStackSettings
    from octavia_provider.settings import Settings

    tables = {name: value for name, value in given.items() if name == OPENSTACK and isinstance(value, dict)}
    yield from _unknown((), (name for name in given if name not in tables), Settings.model_fields)
    for name, table in tables.items():
        yield from _unknown((name,), table, OpenStackSettings.model_fields)


def _unknown(path: tuple[str, ...], names: Iterable[str], known: Mapping[str, Any]) -> Iterator[Violation]:
    yield from (
        Violation((*path, name), f"is no setting; there are {', '.join(known)}") for name in names if name not in known
    )
