# SPDX-License-Identifier: Apache-2.0
"""``octaviactl up|preview|destroy|refresh|stack``: the engine on the command line.

Exit codes: 0 done; 1 something failed; 2 wrong usage or input; 3 changes where none were expected; 130 interrupted.
Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.cli.engine_options import CHANGES, FAILED, INTERRUPTED, require_terminal, run_options, yes_option
from octavia_provider.cli.stack_commands import stack
from octavia_provider.kit import console

if TYPE_CHECKING:
    from octavia_engine.events import Display
    from octavia_engine.run import Result

_skip = click.option("--skip-preview", "-f", is_flag=True, help="Do it without a preview.")
_expect = click.option("--expect-no-changes", is_flag=True, help=f"Exit {CHANGES} when there are changes.")


def _display(*, as_json: bool, preview: bool, show_secrets: bool, diff: bool, debug: bool) -> Display:
    from octavia_engine.display import json_output

    if as_json and preview:
        return json_output.PreviewJson(show_secrets=show_secrets, debug=debug)
    if as_json:
        return json_output.EventLines(show_secrets=show_secrets, debug=debug)
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from octavia_engine.display.live import LiveDisplay

        return LiveDisplay(show_secrets=show_secrets, diff=diff)
    from octavia_engine.display.plain import PlainDisplay

    return PlainDisplay(show_secrets=show_secrets, diff=diff)


class _EngineCall:
    """Runs an engine operation with the options of one command line."""

    def __init__(self, cwd: Path, stack: str, options: dict[str, Any]) -> None:
        self.cwd, self.stack = cwd, stack
        self._options = options

    def run(self, work: Callable[..., Result], *, preview: bool) -> Result:
        from octavia_engine.run import Options

        given_options = self._options
        pairs = [text.partition("=") for text in given_options["config"]]
        if not all(separator for _, separator, _ in pairs):
            raise click.BadParameter("write KEY=VALUE", param_hint="--config")
        run_options: dict[str, Any] = {"config": {key: value for key, _, value in pairs}}
        if given_options["parallel"]:
            run_options["parallel"] = given_options["parallel"]
        display_options = {name: given_options[name] for name in ("as_json", "show_secrets", "diff", "debug")}
        run_options["display"] = _display(preview=preview, **display_options)
        return work(self.cwd, self.stack, Options(**run_options))

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask for confirmation unless ``yes``."""
        if not yes:
            console.confirm(question)


def _exit(result: Result, *, expect_no_changes: bool = False) -> None:
    if result.summary.cancelled:
        sys.exit(INTERRUPTED)
    if not result.ok:
        sys.exit(FAILED)
    if expect_no_changes and result.summary.changed:
        console.print_error("no changes were expected, and there are some")
        sys.exit(CHANGES)


def _require_terminal(options: dict[str, Any], *, yes: bool) -> None:
    """Fail early when a confirmation will be needed and there is no terminal."""
    if not yes:
        require_terminal(as_json=options["as_json"])


def _announce_new_stack(cwd: Path, name: str, what: str) -> None:
    from octavia_engine import stacks

    if not stacks.exists(cwd, name):
        console.echo(f"There is no stack {name} yet; {what}.", err=True)


@click.command()
@yes_option
@_skip
@_expect
@click.option("--create", is_flag=True, help="Make the stack where there is none of this name.")
@run_options
def up(
    *,
    cwd: Path,
    stack: str | None,
    yes: bool,
    skip_preview: bool,
    expect_no_changes: bool,
    create: bool,
    **options: Any,
) -> None:
    """Bring the stack to what the program says.

    First all of it is previewed, so that bad input is told before anything is touched. With --json the preview's events
    come first, after a `begin` that says so. In a project without any stack the first one is made: `dev`.
    """
    from octavia_engine import run, stacks

    _require_terminal(options, yes=yes)
    name = stacks.require_stack(cwd, stack, first=True, create=create)
    call = _EngineCall(cwd, name, options)
    _announce_new_stack(cwd, name, "this makes it")
    run.check_passphrase(cwd, name)
    if not skip_preview:
        planned = call.run(run.preview, preview=not options["as_json"])
        _exit(planned, expect_no_changes=expect_no_changes)
    call.confirm(f"Update stack {call.stack}?", yes=yes)
    _exit(call.run(run.up, preview=False), expect_no_changes=expect_no_changes)


@click.command()
@_expect
@run_options
def preview(*, cwd: Path, stack: str | None, expect_no_changes: bool, **options: Any) -> None:
    """Show what `up` would do."""
    from octavia_engine import run, stacks

    name = stacks.require_stack(cwd, stack, first=True)
    _announce_new_stack(cwd, name, "`octaviactl up` would make it")
    _exit(_EngineCall(cwd, name, options).run(run.preview, preview=True), expect_no_changes=expect_no_changes)


@click.command()
@yes_option
@_skip
@run_options
def destroy(*, cwd: Path, stack: str | None, yes: bool, skip_preview: bool, **options: Any) -> None:
    """Delete everything of the stack."""
    from octavia_engine import run, stacks

    _require_terminal(options, yes=yes)
    call = _EngineCall(cwd, stacks.require_stack(cwd, stack), options)
    run.check_passphrase(cwd, call.stack)
    if not (skip_preview or yes or options["as_json"]):
        _exit(call.run(run.preview_destroy, preview=True))
    call.confirm(f"Delete everything of stack {call.stack}?", yes=yes)
    _exit(call.run(run.destroy, preview=False))


@click.command()
@yes_option
@_skip
@_expect
@run_options
def refresh(
    *, cwd: Path, stack: str | None, yes: bool, skip_preview: bool, expect_no_changes: bool, **options: Any
) -> None:
    """Read what exists into the state of a stack."""
    from octavia_engine import run, stacks

    _require_terminal(options, yes=yes)
    call = _EngineCall(cwd, stacks.require_stack(cwd, stack), options)
    run.check_passphrase(cwd, call.stack)
    if not (skip_preview or yes or options["as_json"]):
        _exit(call.run(run.preview_refresh, preview=True))
    call.confirm(f"Update the state of stack {call.stack}?", yes=yes)
    _exit(call.run(run.refresh, preview=False), expect_no_changes=expect_no_changes)


COMMANDS: list[click.Command] = [up, preview, destroy, refresh, stack]
"""The engine's commands."""
