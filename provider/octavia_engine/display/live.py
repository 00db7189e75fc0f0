# SPDX-License-Identifier: Apache-2.0
"""The terminal display: running steps in a live table with a status column, a line for each finished step."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from octavia_engine import events, traffic_effects
from octavia_engine.display import formatting
from octavia_engine.events import Step, Summary
from octavia_provider.kit import terminal

_COLOURS = {
    "create": "green",
    "create-replacement": "green",
    "update": "yellow",
    "replace": "magenta",
    "delete": "red",
    "delete-replaced": "red",
    "read": "cyan",
    "import": "cyan",
    "refresh": "cyan",
}
_SEVERITIES = {events.ERROR: "bold red", events.WARNING: "yellow", "info#err": "dim"}
_MAX_ROWS = 12
"""Rows of running steps; the rest is shown as a number."""


class LiveDisplay:
    """A :class:`~octavia_engine.events.Display` on a terminal."""

    def __init__(self, console: Console | None = None, *, show_secrets: bool = False, diff: bool = False) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._show_secrets, self._diff = show_secrets, diff
        self._preview = False
        self._traffic = traffic_effects.EffectSummary()
        self._running: dict[str, tuple[Step, float]] = {}
        self._status: dict[str, str] = {}
        self._unchanged = 0
        self._spinner = Spinner("dots")
        self._dim = self._style("dim")
        self._live = Live(console=self._console, refresh_per_second=10, transient=True, get_renderable=self._render)

    def _render(self) -> RenderableType:
        rows = Table.grid(padding=(0, 1))
        now = time.monotonic()
        for step, began in list(self._running.values())[:_MAX_ROWS]:
            colour = _COLOURS.get(step.op, "")
            resource = terminal.escape_line(formatting.resource_name(step.urn))
            age = formatting.duration(now - began)
            rows.add_row(
                self._spinner, Text(resource, style=colour), Text(age, style=self._dim), self._status_text(step)
            )
        more = len(self._running) - _MAX_ROWS
        if more > 0:
            rows.add_row("", Text(f"and {more} more", style=self._dim))
        unchanged = Text(f"     {self._unchanged} unchanged", style=self._dim) if self._unchanged else Text("")
        return Group(rows, unchanged)

    def _status_text(self, step: Step) -> Text:
        return Text(terminal.escape_line(self._status.get(step.urn, "")), style=self._dim)

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(terminal.escape_line(text), style=self._style(style)))

    def _style(self, style: str) -> str:
        """The style; empty with NO_COLOR, because rich would still write bold and dim."""
        return "" if self._console.no_color else style

    def begin(self, kind: str, stack: str, *, preview: bool) -> None:
        """The headline; from now on the table lives."""
        self._preview = preview
        self._diff = self._diff or preview
        self._line(formatting.headline(kind, stack, preview=preview), "bold")
        self._live.start()

    def started(self, step: Step) -> None:
        """A row."""
        if not step.hidden and not self._preview:
            self._running[step.urn] = (step, time.monotonic())

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """The row becomes a line."""
        self._running.pop(step.urn, None)
        self._status.pop(step.urn, None)
        if step.op == events.SAME and error is None:
            self._unchanged += not step.hidden
        if error is None:
            self._traffic.add(step)
        if not formatting.is_shown(step, error, preview=self._preview):
            return
        style = "bold red" if error is not None else _COLOURS.get(step.op, "")
        self._line(formatting.step_line(step, seconds, error, preview=self._preview), style)
        if self._diff and error is None:
            for line in formatting.diff_lines(step, show_secrets=self._show_secrets):
                self._line(f"      {line}", {"+": "green", "-": "red", "~": "yellow"}.get(line[0], ""))

    def status(self, urn: str, message: str) -> None:
        """The status column."""
        self._status[urn] = message

    def diagnostic(self, severity: str, urn: str, message: str) -> None:
        """Above the table."""
        if severity != events.DEBUG:
            for line in formatting.diagnostic_lines(severity, urn, message):
                self._line(line, _SEVERITIES.get(severity, ""))

    def end(self, summary: Summary) -> None:
        """The table goes; outputs, counts and duration stay."""
        self._live.stop()
        for line in self._traffic.lines() if self._preview else ():
            self._line(line, "yellow" if line.lstrip().startswith("!") else "")
        for line in formatting.summary_lines(summary, preview=self._preview, show_secrets=self._show_secrets):
            self._line(line, "bold" if line.endswith(":") else "")
