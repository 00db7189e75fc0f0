# SPDX-License-Identifier: Apache-2.0
"""Why a push is not put in force."""

from __future__ import annotations

from octavia_amphora.wire.messages import Refusal


class PushRefused(Exception):
    """The push is refused; what was in force before it is still in force."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
