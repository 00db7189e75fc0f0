# SPDX-License-Identifier: Apache-2.0
"""The topics in the order in which they run, and what all of them have."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .rows import Row

Say = Callable[[str], None]
"""Tells what is being done."""

TOPICS = (
    "render",
    "octavia",
    "plugin",
    "first",
    "health",
    "heartbeats",
    "members",
    "change",
    "runtime",
    "traffic",
    "tls",
    "memory",
    "engines",
    "stock",
    "many",
    "groups",
    "pairs",
    "availability",
)


@dataclass
class Options:
    """What the command line says; None: the topic's own default."""

    runs: int | None = None
    minutes: float | None = None
    docs: bool = False


OPTIONS = Options()


class NotHere(Exception):
    """A topic cannot be measured on this machine; the message says why and what to do."""


def load(name: str) -> Callable[[Say], Iterator[Row]]:
    """``measure`` of a topic's module."""
    found: Callable[[Say], Iterator[Row]] = importlib.import_module(f"bench.{name}").measure
    return found
