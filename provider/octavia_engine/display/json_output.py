# SPDX-License-Identifier: Apache-2.0
"""JSON output: ``preview --json`` as the ``pulumi`` CLI writes it, and event lines of the other commands."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from octavia_engine import events, traffic_effects, values
from octavia_engine.events import Step, Summary
from octavia_engine.state import ResourceState
from octavia_provider.kit import terminal
from octavia_provider.model.effects import Effect, Severity


def _state(state: ResourceState | None, *, show_secrets: bool) -> dict[str, Any] | None:
    if state is None:
        return None
    found = state.to_json(str)
    for name in ("inputs", "outputs"):
        props = getattr(state, name)
        if props:
            found[name] = values.plain(props) if show_secrets else values.redacted(props)
    return found


def _severity(effect: Effect) -> str:
    return events.WARNING if effect.severity >= Severity.ENDS else events.INFO


class PreviewJson:
    """Gathers a preview and writes one document at the end (CLI: ``pulumi preview --json``)."""

    def __init__(
        self,
        config: dict[str, str] | None = None,
        stream: TextIO | None = None,
        *,
        show_secrets: bool = False,
        debug: bool = False,
    ) -> None:
        self._debug = debug
        self._stream = stream or sys.stdout
        self._show_secrets = show_secrets
        self._config = config or {}
        self._steps: list[dict[str, Any]] = []
        self._diagnostics: list[dict[str, str]] = []

    def begin(self, kind: str, stack: str, *, preview: bool) -> None:
        """Nothing yet."""

    def started(self, step: Step) -> None:
        """Nothing yet."""

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """Remember the step."""
        del seconds  # a preview takes no time
        if not step.hidden and error is None and (step.op != events.SAME or step.type == "pulumi:pulumi:Stack"):
            self._steps.append(self._step(step))
            self._diagnostics += [
                {"urn": step.urn, "message": f"effect on traffic: {name}: {effect.text}", "severity": _severity(effect)}
                for name, effect in traffic_effects.effects_of_step(step)
                if effect.severity > Severity.NONE
            ]

    def _step(self, step: Step) -> dict[str, Any]:
        found: dict[str, Any] = {"op": step.op, "urn": step.urn}
        if step.state.provider:
            found["provider"] = step.state.provider
        for name, state in (("oldState", step.old), ("newState", None if step.op.startswith("delete") else step.new)):
            shown = _state(state, show_secrets=self._show_secrets)
            if shown is not None:
                found[name] = shown
        if step.diff is not None and step.diff.changed_keys:
            found["diffReasons"] = step.diff.changed_keys
        if step.diff is not None and step.diff.replace_keys:
            found["replaceReasons"] = step.diff.replace_keys
        detailed = step.diff.detailed if step.diff is not None else None
        found["detailedDiff"] = {
            path: {"kind": diff.kind, "inputDiff": diff.input_diff} for path, diff in (detailed or {}).items()
        } or None
        return found

    def status(self, urn: str, message: str) -> None:
        """Nothing: ephemeral."""

    def diagnostic(self, severity: str, urn: str, message: str) -> None:
        """Remember it."""
        if severity != events.DEBUG or self._debug:
            self._diagnostics.append({"urn": urn, "message": message, "severity": severity})

    def end(self, summary: Summary) -> None:
        """Write the document."""
        document: dict[str, Any] = {"config": self._config} if self._config else {}
        document["steps"] = self._steps
        if self._diagnostics:
            document["diagnostics"] = self._diagnostics
        document["duration"] = round(summary.seconds * 1e9)
        document["changeSummary"] = dict(summary.changes)
        self._stream.write(terminal.dump_json(document, indent=4) + "\n")


class EventLines:
    """One JSON object a line: begin, started, finished, status, diagnostic, and a summary at the end."""

    def __init__(self, stream: TextIO | None = None, *, show_secrets: bool = False, debug: bool = False) -> None:
        self._debug = debug
        self._stream = stream or sys.stdout
        self._show_secrets = show_secrets

    def _line(self, event: str, **data: Any) -> None:
        self._stream.write(terminal.dump_json({"event": event, **data}, indent=None) + "\n")
        self._stream.flush()

    def begin(self, kind: str, stack: str, *, preview: bool) -> None:
        """``{"event": "begin", "kind": "update", "stack": "dev", "preview": false}``"""
        self._line("begin", kind=kind, stack=stack, preview=preview)

    def started(self, step: Step) -> None:
        """``{"event": "started", "op": …, "urn": …}``"""
        if not step.hidden:
            self._line("started", op=step.op, urn=step.urn)

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """``{"event": "finished", "op": …, "urn": …, "seconds": …, "error": …, "effects": […]}``"""
        if not step.hidden:
            extra: dict[str, Any] = {"error": error} if error else {}
            found = traffic_effects.effects_of_step(step) if error is None else []
            if found:
                extra["effects"] = [
                    {"of": name, "severity": effect.severity.name.lower(), "text": effect.text}
                    for name, effect in found
                ]
            self._line("finished", op=step.op, urn=step.urn, seconds=round(seconds, 3), **extra)

    def status(self, urn: str, message: str) -> None:
        """``{"event": "status", "urn": …, "message": …}``"""
        self._line("status", urn=urn, message=message)

    def diagnostic(self, severity: str, urn: str, message: str) -> None:
        """``{"event": "diagnostic", "severity": …, "urn": …, "message": …}``"""
        if severity != events.DEBUG or self._debug:
            self._line("diagnostic", severity=severity, urn=urn, message=message)

    def end(self, summary: Summary) -> None:
        """``{"event": "summary", "changes": {…}, "errors": 0, "seconds": …, "outputs": {…}}``"""
        outputs = values.plain(summary.outputs) if self._show_secrets else values.redacted(summary.outputs)
        self._line(
            "summary",
            changes=dict(summary.changes),
            errors=summary.errors,
            seconds=round(summary.seconds, 3),
            cancelled=summary.cancelled,
            outputs=outputs,
        )
