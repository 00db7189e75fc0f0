# SPDX-License-Identifier: Apache-2.0
"""structlog, imported when the first event is logged: with rich it takes longer to import than the rest of the plugin."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import Any

from . import terminal

_silenced = False


class Logger:
    """Passes events to structlog, unless logging is silenced."""

    def debug(self, event: str, **facts: Any) -> None:
        """Details for debugging."""
        self._log("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """Normal operations."""
        self._log("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """Something that needs attention."""
        self._log("warning", event, facts)

    @staticmethod
    def _log(level: str, event: str, facts: dict[str, Any]) -> None:
        if not _silenced:
            import structlog

            getattr(structlog.get_logger(), level)(event, **facts)


def silence() -> None:
    """Log nothing from now on."""
    global _silenced  # noqa: PLW0603 - logging is one per process, by nature
    _silenced = True


def to_stderr() -> None:
    """Log everything to standard error."""
    import structlog

    global _silenced  # noqa: PLW0603
    _silenced = False
    *processors, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(
        exception_formatter=structlog.dev.plain_traceback
    )  # rich's shows all variables
    structlog.configure(
        processors=[_escape, *processors, renderer], logger_factory=structlog.PrintLoggerFactory(file=sys.stderr)
    )


def _escape(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape foreign text in log lines that are printed on a terminal."""
    return {key: terminal.escape_text(value) if isinstance(value, str) else value for key, value in event.items()}
