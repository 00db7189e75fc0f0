# SPDX-License-Identifier: Apache-2.0
"""Logging: one JSON line per event in files, colours on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from octavia_amphora.log_limit import FloodFilter, LogRateLimiter

LOG_BYTES, LOG_FILES = 5_000_000, 3
_flood_filter = FloodFilter()


def _is_allowed(record: logging.LogRecord) -> bool:
    """Rate-limit library messages here; structlog's events are limited before they become text with a timestamp."""
    return record.name.startswith("octavia_provider") or _flood_filter.filter(record)


class _JsonFormatter(logging.Formatter):
    """Events of structlog are JSON already; what libraries say becomes such a line too."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        said = record.getMessage()
        if said.startswith("{") and not record.exc_info:
            return said
        moment = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        line = {"event": said, "logger": record.name, "level": record.levelname.lower()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({**line, "timestamp": moment})


def _rate_limited(limiter: LogRateLimiter) -> Any:
    def processor(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        import structlog

        if method in ("debug", "info"):
            return event
        dropped = limiter.admit(str(sorted((k, str(v)) for k, v in event.items() if k != "exc_info")))
        if dropped is None:
            raise structlog.DropEvent
        return {**event, "not_written_before": dropped} if dropped else event

    return processor


def configure(file: Path | None = None, *, level: str = "info") -> None:
    """Send structlog's events to ``file`` (rotated), else to standard error."""
    import structlog

    handler: logging.Handler
    if file is not None:
        handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    else:
        handler = logging.StreamHandler(sys.stderr)
    pretty = file is None and sys.stderr.isatty()
    handler.setFormatter(logging.Formatter("%(message)s") if pretty else _JsonFormatter())
    handler.addFilter(_is_allowed)
    logging.raiseExceptions = False  # do not print a traceback when the log cannot be written (a full disk)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiohttp.access", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # a Keystone that does not answer is told of by us
    logging.getLogger("keystoneauth").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _rate_limited(LogRateLimiter()),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([] if pretty else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if pretty
            else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
