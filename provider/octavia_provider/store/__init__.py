# SPDX-License-Identifier: Apache-2.0
"""Where the desired state lives: SQLAlchemy over SQLite (embedded) or PostgreSQL. See ``ports.Store`` for what it promises."""

from __future__ import annotations

from .copies import Copies
from .store import SqlStore, installed, open_store

__all__ = ["Copies", "SqlStore", "installed", "open_store"]
