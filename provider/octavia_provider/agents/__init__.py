# SPDX-License-Identifier: Apache-2.0
"""What is said to agents: the client of ``octavia_amphora.wire.messages``."""

from __future__ import annotations

from .client import AgentClient

__all__ = ["AgentClient"]
