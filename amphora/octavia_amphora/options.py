# SPDX-License-Identifier: Apache-2.0
"""Settings that change while the agent runs (``wire.AgentOptions``): haproxy and its connections see nothing of it.

They are kept in ``options.json`` in the state directory, with the digest of the ``agent.json`` that they change: a new
``agent.json`` (the agent was started anew by the cloud) has newer settings, and the old changes are dropped.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from .apply.disk import read, write
from .apply.errors import PushRefused
from .wire.messages import AgentConfig, AgentOptions, Refusal

SHORTEST, LONGEST = 0.05, 60.0
"""Seconds between two heartbeats."""


class _Kept(msgspec.Struct, frozen=True):
    digest: str
    options: AgentOptions


class Options:
    """The settings as they are now. ``subscribe``: who is told of a change."""

    def __init__(self, config: AgentConfig, source: bytes) -> None:
        self._path = Path(config.state_directory) / "options.json"
        self._digest = hashlib.sha256(source).hexdigest()
        self._subscribers: list[Callable[[AgentConfig], None]] = [_set_log_level]
        kept = read(self._path, _Kept)
        self._options = kept.options if kept is not None and kept.digest == self._digest else AgentOptions()
        self.config = _merged(config, self._options)
        _set_log_level(self.config)

    def subscribe(self, changed: Callable[[AgentConfig], None]) -> None:
        """Call it after each change."""
        self._subscribers.append(changed)

    def change(self, new: AgentOptions) -> None:
        """Keep and use them; ``PushRefused`` where one cannot be used, and then none is."""
        _check(new)
        given = {name: value for name in new.__struct_fields__ if (value := getattr(new, name)) is not msgspec.UNSET}
        options = msgspec.structs.replace(self._options, **given)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(self._path, msgspec.json.encode(_Kept(self._digest, options)), durable=True)
        self._options, self.config = options, _merged(self.config, options)
        for changed in self._subscribers:
            changed(self.config)


def _merged(config: AgentConfig, options: AgentOptions) -> AgentConfig:
    given = {name: getattr(options, name) for name in options.__struct_fields__}
    return msgspec.structs.replace(config, **{n: v for n, v in given.items() if v is not msgspec.UNSET})


def _check(new: AgentOptions) -> None:
    interval = new.heartbeat_interval
    if not isinstance(interval, msgspec.UnsetType) and not SHORTEST <= interval <= LONGEST:
        raise PushRefused(Refusal("refused", f"heartbeat_interval: {interval:g} is not {SHORTEST:g} to {LONGEST:g} s"))


def _set_log_level(config: AgentConfig) -> None:
    logging.getLogger("octavia_amphora").setLevel(config.log_level.upper())
