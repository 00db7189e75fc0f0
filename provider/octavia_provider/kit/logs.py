# SPDX-License-Identifier: Apache-2.0
"""structlog, loaded when there is something to say: with rich beside it, importing it takes longer than all else a
plugin imports of ours."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from typing import Any

from . import terminal

_silenced = False


class Logger:
    """Passes on to structlog, unless logging is switched off."""

    def debug(self, event: str, **facts: Any) -> None:
        """For whoever looks for a fault."""
        self._log("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """For whoever wants to know what was done."""
        self._log("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """For whoever has to act before long."""
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
    """Text of others in a log that is read on a terminal."""
    return {key: terminal.escape_text(value) if isinstance(value, str) else value for key, value in event.items()}
