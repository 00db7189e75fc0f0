# SPDX-License-Identifier: Apache-2.0
"""Plain lines, for logs, pipes and tests: one per finished resource, one per message."""

from __future__ import annotations

import sys
from typing import TextIO

from octavia_engine import events, traffic_effects
from octavia_engine.display import formatting
from octavia_engine.events import Step, Summary
from octavia_provider.kit import terminal


class PlainDisplay:
    """A :class:`~octavia_engine.events.Display` that writes lines."""

    def __init__(self, stream: TextIO | None = None, *, show_secrets: bool = False, diff: bool = False) -> None:
        self._stream = stream or sys.stdout
        self._show_secrets = show_secrets
        self._diff = diff
        self._preview = False
        self._traffic = traffic_effects.EffectSummary()
        self._status: dict[str, str] = {}

    def _line(self, text: str) -> None:
        print(terminal.escape_line(text), file=self._stream, flush=True)

    def begin(self, kind: str, stack: str, *, preview: bool) -> None:
        """The headline."""
        self._preview = preview
        self._diff = self._diff or preview
        self._line(formatting.headline(kind, stack, preview=preview))

    def started(self, step: Step) -> None:
        """Nothing: a line comes when it is done."""

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """A line, and what differs."""
        if error is None:
            self._traffic.add(step)
        if not formatting.is_shown(step, error, preview=self._preview):
            return
        self._line(formatting.step_line(step, seconds, error, preview=self._preview))
        if self._diff and error is None:
            for line in formatting.diff_lines(step, show_secrets=self._show_secrets):
                self._line(f"      {line}")

    def status(self, urn: str, message: str) -> None:
        """A line when the status of a resource changes."""
        if self._status.get(urn) != message:
            self._status[urn] = message
            self._line(f"     {formatting.resource_name(urn)}: {message}")

    def diagnostic(self, severity: str, urn: str, message: str) -> None:
        """A line, or a few."""
        if severity != events.DEBUG:
            for line in formatting.diagnostic_lines(severity, urn, message):
                self._line(line)

    def end(self, summary: Summary) -> None:
        """Effects on traffic, outputs, counts and duration."""
        for line in self._traffic.lines() if self._preview else ():
            self._line(line)
        for line in formatting.summary_lines(summary, preview=self._preview, show_secrets=self._show_secrets):
            self._line(line)
