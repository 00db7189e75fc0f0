# SPDX-License-Identifier: Apache-2.0
"""Where the desired state lives: SQLAlchemy, SQLite (embedded). See ``ports.Store`` for what it promises."""

from __future__ import annotations

from .store import SqlStore, open_store

__all__ = ["SqlStore", "open_store"]
