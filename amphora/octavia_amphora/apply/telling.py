# SPDX-License-Identifier: Apache-2.0
"""Saying to haproxy what changes among certificates and their like."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from octavia_amphora.haproxy import runtime

from .certificates import Said

log = logging.getLogger("octavia_amphora.apply")


async def tell(stats_socket: Path, commands: Iterable[Said]) -> bool:
    """Put them in force one after the other; False when haproxy did not take one. What it then has is what a reload
    replaces as a whole."""
    for command in commands:
        try:
            answer = await runtime.say(stats_socket, command.text, command.payload)
            if command.done(answer):
                continue
            log.warning("runtime API command=%r answer=%r", command.text, answer)
            if command.undo:
                await runtime.say(stats_socket, command.undo)
        except runtime.Silent as error:
            log.warning("runtime API: %s", error)
        return False
    return True
