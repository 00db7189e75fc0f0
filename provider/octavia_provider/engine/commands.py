# SPDX-License-Identifier: Apache-2.0
"""``octaviactl up|preview|destroy|refresh|stack``: the engine on the command line.

Exit codes: 0 done; 1 something failed; 2 wrong usage or input; 3 changes where none were expected; 130 interrupted.
Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.model.errors import Invalid, OctaviaError

if TYPE_CHECKING:
    from octavia_provider.engine.events import Display
    from octavia_provider.engine.run import Result

FAILED, USAGE, CHANGES, INTERRUPTED = 1, 2, 3, 130
Command = Callable[..., Any]

_cwd = click.option(
    "--cwd",
    "-C",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=".",
    help="The project's folder.",
)
_stack = click.option("--stack", "-s", help="The stack; else the selected one, else `dev`.")
_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
_secrets = click.option("--show-secrets", is_flag=True, help="Show secrets instead of [secret].")


def told(command: Command) -> Command:
    """Errors of ours in one line on stderr, with the exit code that goes with them."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except OctaviaError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(USAGE if isinstance(error, Invalid) else FAILED)
        except BrokenPipeError:
            raise
        except OSError as error:
            click.echo(f"error: {_of_system(error)}", err=True)
            sys.exit(FAILED)

    return wrapped


def _of_system(error: OSError) -> str:
    """What the system refused: a folder that is not ours, a file where a folder should be, a full disk."""
    what = (error.strerror or str(error)).lower()
    where = f"{error.filename}: " if error.filename else ""
    hint = ""
    if isinstance(error, PermissionError):
        hint = " Try: run as its owner, or keep the state elsewhere with OCTAVIA_STATE"
    elif error.filename:
        hint = " Try: another folder; OCTAVIA_STATE says where the state is, OCTAVIA_HOME where the control plane is"
    return f"{where}{what}.{hint}"


def _running(command: Command) -> Command:
    """The options of everything that runs a stack."""
    options = [
        _stack,
        _cwd,
        click.option("--parallel", "-p", type=click.IntRange(min=1), help="Steps at once (4 × CPUs)."),
        click.option("--config", "-c", "config", multiple=True, metavar="KEY=VALUE", help="Set for this run only."),
        _json,
        _secrets,
        click.option("--diff", is_flag=True, help="Show what differs in each resource."),
        click.option("--debug", is_flag=True, help="With --json: debug messages too."),
    ]
    for option in reversed(options):
        command = option(command)
    return told(command)


_yes = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")
_skip = click.option("--skip-preview", "-f", is_flag=True, help="Do it without a preview.")
_expect = click.option("--expect-no-changes", is_flag=True, help=f"Exit {CHANGES} when there are changes.")


def _chosen(cwd: Path, stack: str | None) -> str:
    from octavia_provider.engine import stacks
    from octavia_provider.model.errors import NotFound

    if stack:
        return stack
    try:
        return stacks.selected(cwd)
    except NotFound:
        return "dev"


def _display(*, as_json: bool, preview: bool, show_secrets: bool, diff: bool, debug: bool) -> Display:
    from octavia_provider.engine.display import jsonout

    if as_json and preview:
        return jsonout.PreviewJson(show_secrets=show_secrets, debug=debug)
    if as_json:
        return jsonout.EventLines(show_secrets=show_secrets, debug=debug)
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from octavia_provider.engine.display.live import LiveDisplay

        return LiveDisplay(show_secrets=show_secrets, diff=diff)
    from octavia_provider.engine.display.plain import PlainDisplay

    return PlainDisplay(show_secrets=show_secrets, diff=diff)


def _can_ask(*, as_json: bool = False) -> None:
    if not sys.stdin.isatty() or as_json:
        raise click.UsageError("nobody can be asked here; say --yes")


class _Call:
    """The options of one command line, and running something with them."""

    def __init__(self, cwd: Path, stack: str | None, given: dict[str, Any]) -> None:
        self.cwd, self.stack = cwd, _chosen(cwd, stack)
        self._given = given

    def run(self, work: Callable[..., Result], *, preview: bool) -> Result:
        from octavia_provider.engine.run import Options

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

    def can_ask(self, *, yes: bool) -> None:
        """Leave before anything is done where nobody could be asked later."""
        if not yes:
            _can_ask(as_json=self._given["as_json"])

    def ask(self, question: str, *, yes: bool) -> None:
        """Go on, or leave."""
        if not yes:
            click.confirm(question, abort=True)


def _leave(result: Result, *, expect_no_changes: bool = False) -> None:
    if result.summary.cancelled:
        sys.exit(INTERRUPTED)
    if not result.ok:
        sys.exit(FAILED)
    if expect_no_changes and result.summary.changed:
        click.echo("error: no changes were expected, and there are some", err=True)
        sys.exit(CHANGES)


@click.command()
@_yes
@_skip
@_expect
@_running
def up(*, cwd: Path, stack: str | None, yes: bool, skip_preview: bool, expect_no_changes: bool, **given: Any) -> None:
    """Bring the stack to what the program says.

    First all of it is previewed, so that bad input is told before anything is touched. With --json the preview's events
    come first, after a `begin` that says so.
    """
    from octavia_provider.engine import run

    call = _Call(cwd, stack, given)
    call.can_ask(yes=yes)
    if not skip_preview:
        planned = call.run(run.preview, preview=not given["as_json"])
        _leave(planned, expect_no_changes=expect_no_changes)
    call.ask(f"Update stack {call.stack}?", yes=yes)
    _leave(call.run(run.up, preview=False), expect_no_changes=expect_no_changes)


@click.command()
@_expect
@_running
def preview(*, cwd: Path, stack: str | None, expect_no_changes: bool, **given: Any) -> None:
    """Show what `up` would do."""
    from octavia_provider.engine import run

    _leave(_Call(cwd, stack, given).run(run.preview, preview=True), expect_no_changes=expect_no_changes)


@click.command()
@_yes
@_skip
@_running
def destroy(*, cwd: Path, stack: str | None, yes: bool, skip_preview: bool, **given: Any) -> None:
    """Delete everything of the stack."""
    from octavia_provider.engine import run

    call = _Call(cwd, stack, given)
    call.can_ask(yes=yes)
    if not (skip_preview or yes or given["as_json"]):
        _leave(call.run(run.preview_destroy, preview=True))
    call.ask(f"Delete everything of stack {call.stack}?", yes=yes)
    _leave(call.run(run.destroy, preview=False))


@click.command()
@_yes
@_skip
@_expect
@_running
def refresh(
    *, cwd: Path, stack: str | None, yes: bool, skip_preview: bool, expect_no_changes: bool, **given: Any
) -> None:
    """Read what exists into the state of a stack."""
    from octavia_provider.engine import run

    call = _Call(cwd, stack, given)
    call.can_ask(yes=yes)
    if not (skip_preview or yes or given["as_json"]):
        _leave(call.run(run.preview_refresh, preview=True))
    call.ask(f"Update the state of stack {call.stack}?", yes=yes)
    _leave(call.run(run.refresh, preview=False), expect_no_changes=expect_no_changes)


@click.group()
def stack() -> None:
    """List, make, export, import and remove stacks."""


@stack.command()
@click.argument("name")
@_cwd
@told
def init(name: str, cwd: Path) -> None:
    """Make an empty stack and select it."""
    from octavia_provider.engine import stacks

    stacks.init(cwd, name)
    stacks.select(cwd, name)
    click.echo(f"Stack {name} made.")


@stack.command()
@click.argument("name")
@_cwd
@told
def select(name: str, cwd: Path) -> None:
    """Choose the stack of later commands."""
    from octavia_provider.engine import stacks

    stacks.select(cwd, name)


@stack.command()
@_cwd
@_json
@told
def ls(cwd: Path, *, as_json: bool) -> None:
    """List the project's stacks."""
    from octavia_provider.engine.backend import Backend
    from octavia_provider.engine.project import Project

    project = Project.load(cwd)
    names = Backend(project.state_dir).stacks(project.name)
    current = _chosen(cwd, None)
    if as_json:
        click.echo(json.dumps([{"name": name, "current": name == current} for name in names]))
    else:
        for name in names:
            click.echo(f"{name}{'*' * (name == current)}")


@stack.command()
@click.argument("name", required=False)
@_stack
@_cwd
@_json
@_secrets
@told
def output(*, name: str | None, stack: str | None, cwd: Path, as_json: bool, show_secrets: bool) -> None:
    """Show the stack's outputs, or one of them."""
    from octavia_provider.engine import stacks, values
    from octavia_provider.model.errors import NotFound

    chosen = _chosen(cwd, stack)
    found = stacks.outputs(cwd, chosen)
    if name is not None and name not in found:
        raise NotFound(f"it has no output {name}", subject=f"stack {chosen}", hint="octaviactl stack output")
    plain = values.plain(found) if show_secrets else values.redacted(found)
    if as_json:
        click.echo(json.dumps(plain if name is None else plain[name], indent=2))
        return
    if name is not None:
        click.echo(plain[name] if isinstance(plain[name], str) else json.dumps(plain[name]))
        return
    for key, value in sorted(plain.items()):
        click.echo(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")


@stack.command(name="export")
@_stack
@_cwd
@_secrets
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Where to; else standard output.")
@told
def export_(*, stack: str | None, cwd: Path, show_secrets: bool, file: Path | None) -> None:
    """Write the state; `pulumi stack import` takes it."""
    from octavia_provider.engine import stacks

    text = json.dumps(stacks.export(cwd, _chosen(cwd, stack), show_secrets=show_secrets), indent=4) + "\n"
    if file is None:
        click.echo(text, nl=False)
    else:
        file.write_text(text)


@stack.command(name="import")
@_stack
@_cwd
@click.option("--file", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="Else standard input.")
@told
def import_(*, stack: str | None, cwd: Path, file: Path | None) -> None:
    """Take over a state that `stack export` or `pulumi stack export` wrote."""
    from octavia_provider.engine import stacks
    from octavia_provider.model.errors import Violation

    try:
        text = file.read_text() if file else sys.stdin.read()
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid([Violation((), f"not JSON: {error}")], subject=str(file or "standard input")) from error
    count = stacks.import_(cwd, _chosen(cwd, stack), document)
    click.echo(f"{count} resources imported.")


@stack.command()
@click.argument("name")
@_cwd
@_yes
@click.option("--force", is_flag=True, help="Leave its resources behind, unmanaged.")
@told
def rm(*, name: str, cwd: Path, yes: bool, force: bool) -> None:
    """Forget a stack that has no resources any more."""
    from octavia_provider.engine import stacks

    if not yes:
        _can_ask()
        click.confirm(f"Forget stack {name}?", abort=True)
    stacks.remove(cwd, name, force=force)


@stack.command()
@click.argument("names", nargs=-1, metavar="[NAME|URN]...")
@_stack
@_cwd
@_yes
@click.option("--all", "everything", is_flag=True, help="Every resource of the stack.")
@told
def forget(*, names: tuple[str, ...], stack: str | None, cwd: Path, yes: bool, everything: bool) -> None:
    """Drop resources from the state alone, as when the control plane that made them is lost.

    What they stand for, where it still exists, is left behind unmanaged.
    """
    from octavia_provider.engine import stacks

    if bool(names) == everything:
        raise click.UsageError("name resources, or say --all")
    chosen = _chosen(cwd, stack)
    urns = stacks.known(cwd, chosen, list(names), everything=everything)
    if not yes:
        _can_ask()
        click.echo("\n".join(urns))
        click.confirm(f"Forget these {len(urns)} resources of stack {chosen}, leaving behind what exists?", abort=True)
    stacks.forget(cwd, chosen, urns)
    click.echo(f"{len(urns)} resources forgotten.")


COMMANDS: list[click.Command] = [up, preview, destroy, refresh, stack]
"""What ``octaviactl`` adds."""
