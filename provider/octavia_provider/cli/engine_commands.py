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

from octavia_provider.cli.engine_options import CHANGES, FAILED, INTERRUPTED, can_ask, running, yes_option
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


class _Call:
    """The options of one command line, and running something with them."""

    def __init__(self, cwd: Path, stack: str, given: dict[str, Any]) -> None:
        self.cwd, self.stack = cwd, stack
        self._given = given

    def run(self, work: Callable[..., Result], *, preview: bool) -> Result:
        from octavia_engine.run import Options

        given = self._given
        pairs = [text.partition("=") for text in given["config"]]
        if not all(separator for _, separator, _ in pairs):
            raise click.BadParameter("write KEY=VALUE", param_hint="--config")
        options: dict[str, Any] = {"config": {key: value for key, _, value in pairs}}
        if given["parallel"]:
            options["parallel"] = given["parallel"]
        wanted = {name: given[name] for name in ("as_json", "show_secrets", "diff", "debug")}
        options["display"] = _display(preview=preview, **wanted)
        return work(self.cwd, self.stack, Options(**options))

    def ask(self, question: str, *, yes: bool) -> None:
        """Go on, or leave."""
        if not yes:
            console.ask(question)


def _leave(result: Result, *, expect_no_changes: bool = False) -> None:
    if result.summary.cancelled:
        sys.exit(INTERRUPTED)
    if not result.ok:
        sys.exit(FAILED)
    if expect_no_changes and result.summary.changed:
        console.fail("no changes were expected, and there are some")
        sys.exit(CHANGES)


def _refuse_questions(given: dict[str, Any], *, yes: bool) -> None:
    """Leave before anything is done where nobody could be asked later."""
    if not yes:
        can_ask(as_json=given["as_json"])


def _say_new(cwd: Path, name: str, what: str) -> None:
    from octavia_engine import stacks

    if not stacks.exists(cwd, name):
        console.say(f"There is no stack {name} yet; {what}.", err=True)


@click.command()
@yes_option
@_skip
@_expect
@click.option("--create", is_flag=True, help="Make the stack where there is none of this name.")
@running
def up(
    *, cwd: Path, stack: str | None, yes: bool, skip_preview: bool, expect_no_changes: bool, create: bool, **given: Any
) -> None:
    """Bring the stack to what the program says.

    First all of it is previewed, so that bad input is told before anything is touched. With --json the preview's events
    come first, after a `begin` that says so. In a project without any stack the first one is made: `dev`.
    """
    from octavia_engine import run, stacks

    _refuse_questions(given, yes=yes)
    name = stacks.require_stack(cwd, stack, first=True, create=create)
    call = _Call(cwd, name, given)
    _say_new(cwd, name, "this makes it")
    run.check_passphrase(cwd, name)
    if not skip_preview:
        planned = call.run(run.preview, preview=not given["as_json"])
        _leave(planned, expect_no_changes=expect_no_changes)
    call.ask(f"Update stack {call.stack}?", yes=yes)
    _leave(call.run(run.up, preview=False), expect_no_changes=expect_no_changes)


@click.command()
@_expect
@running
def preview(*, cwd: Path, stack: str | None, expect_no_changes: bool, **given: Any) -> None:
    """Show what `up` would do."""
    from octavia_engine import run, stacks

    name = stacks.require_stack(cwd, stack, first=True)
    _say_new(cwd, name, "`octaviactl up` would make it")
    _leave(_Call(cwd, name, given).run(run.preview, preview=True), expect_no_changes=expect_no_changes)


@click.command()
@yes_option
@_skip
@running
def destroy(*, cwd: Path, stack: str | None, yes: bool, skip_preview: bool, **given: Any) -> None:
    """Delete everything of the stack."""
    from octavia_engine import run, stacks

    _refuse_questions(given, yes=yes)
    call = _Call(cwd, stacks.require_stack(cwd, stack), given)
    run.check_passphrase(cwd, call.stack)
    if not (skip_preview or yes or given["as_json"]):
        _leave(call.run(run.preview_destroy, preview=True))
    call.ask(f"Delete everything of stack {call.stack}?", yes=yes)
    _leave(call.run(run.destroy, preview=False))


@click.command()
@yes_option
@_skip
@_expect
@running
def refresh(
    *, cwd: Path, stack: str | None, yes: bool, skip_preview: bool, expect_no_changes: bool, **given: Any
) -> None:
    """Read what exists into the state of a stack."""
    from octavia_engine import run, stacks

    _refuse_questions(given, yes=yes)
    call = _Call(cwd, stacks.require_stack(cwd, stack), given)
    run.check_passphrase(cwd, call.stack)
    if not (skip_preview or yes or given["as_json"]):
        _leave(call.run(run.preview_refresh, preview=True))
    call.ask(f"Update the state of stack {call.stack}?", yes=yes)
    _leave(call.run(run.refresh, preview=False), expect_no_changes=expect_no_changes)


COMMANDS: list[click.Command] = [up, preview, destroy, refresh, stack]
"""What ``octaviactl`` adds."""
