# SPDX-License-Identifier: Apache-2.0
"""Under which lease something is done, for clouds that refuse who has lost it.

Asking the store before a call leaves a gap: who is paused in it does later what another one no longer expects. A cloud that
remembers the highest fence of a scope can close it.
"""

from __future__ import annotations

from contextvars import ContextVar

from .records import Scope

LEASE: ContextVar[Scope | None] = ContextVar("lease", default=None)
"""Of the scope that the present task brings about."""
