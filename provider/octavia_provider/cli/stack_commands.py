# SPDX-License-Identifier: Apache-2.0
"""``octaviactl stack``: manage stacks. Imports are deferred until a command runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from octavia_provider.cli.engine_options import (
    cwd_option,
    handle_errors,
    json_option,
    require_terminal,
    secrets_option,
    stack_option,
    yes_option,
)
from octavia_provider.cli.options import print_result
from octavia_provider.kit import console
from octavia_provider.model.errors import Invalid


@click.group()
def stack() -> None:
    """List, make, export, import and remove stacks."""


@stack.command()
@click.argument("name")
@cwd_option
@json_option
@handle_errors
def init(name: str, cwd: Path, *, as_json: bool) -> None:
    """Make an empty stack and select it."""
    from octavia_engine import stacks

    stacks.init(cwd, name)
    stacks.select(cwd, name)
    print_result(f"Stack {name} made.", as_json=as_json, name=name, made=True)


@stack.command()
@click.argument("name")
@click.option("--create", is_flag=True, help="Make it where there is none of this name.")
@cwd_option
@json_option
@handle_errors
def select(name: str, cwd: Path, *, create: bool, as_json: bool) -> None:
    """Choose the stack of later commands."""
    from octavia_engine import stacks

    made = create and not stacks.exists(cwd, name)
    if made:
        stacks.init(cwd, name)
    stacks.select(cwd, name)
    if made or as_json:
        print_result(f"Stack {name} made.", as_json=as_json, name=name, made=made)


@stack.command()
@cwd_option
@json_option
@handle_errors
def ls(cwd: Path, *, as_json: bool) -> None:
    """List the project's stacks."""
    from octavia_engine import stacks
    from octavia_engine.backend import Backend
    from octavia_engine.project import Project

    project = Project.load(cwd)
    names = Backend(project.state_dir).stacks(project.name)
    current = stacks.default_stack(cwd)
    if as_json:
        console.echo_json([{"name": name, "current": name == current} for name in names], indent=None)
    else:
        for name in names:
            console.echo(f"{name}{'*' * (name == current)}")


@stack.command()
@click.argument("name", required=False)
@stack_option
@cwd_option
@json_option
@secrets_option
@handle_errors
def output(*, name: str | None, stack: str | None, cwd: Path, as_json: bool, show_secrets: bool) -> None:
    """Show the stack's outputs, or one of them."""
    from octavia_engine import stacks, values
    from octavia_provider.model.errors import NotFound

    chosen = stacks.require_stack(cwd, stack)
    outputs = stacks.outputs(cwd, chosen)
    if name is not None and name not in outputs:
        raise NotFound(f"it has no output {name}", subject=f"stack {chosen}", hint="octaviactl stack output")
    plain = values.plain(outputs) if show_secrets else values.redacted(outputs)
    if as_json:
        console.echo_json(plain if name is None else plain[name])
        return
    if name is not None:
        console.echo_text(plain[name] if isinstance(plain[name], str) else json.dumps(plain[name]))
        return
    for key, value in sorted(plain.items()):
        console.echo(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")


@stack.command(name="export")
@stack_option
@cwd_option
@secrets_option
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Where to; else standard output.")
@handle_errors
def export_(*, stack: str | None, cwd: Path, show_secrets: bool, file: Path | None) -> None:
    """Write the state; `pulumi stack import` takes it."""
    from octavia_engine import stacks

    text = json.dumps(stacks.export(cwd, stacks.require_stack(cwd, stack), show_secrets=show_secrets), indent=4) + "\n"
    if file is None:
        console.echo_text(text, nl=False)
    else:
        file.write_text(text)


@stack.command(name="import")
@stack_option
@cwd_option
@click.option("--file", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="Else standard input.")
@json_option
@handle_errors
def import_(*, stack: str | None, cwd: Path, file: Path | None, as_json: bool) -> None:
    """Take over a state that `stack export` or `pulumi stack export` wrote."""
    from octavia_engine import stacks
    from octavia_provider.model.errors import Violation

    try:
        text = file.read_text() if file else sys.stdin.read()
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid([Violation((), f"not JSON: {error}")], subject=str(file or "standard input")) from error
    name = stacks.default_stack(cwd, stack)
    count = stacks.import_(cwd, name, document)
    print_result(f"{count} resources imported.", as_json=as_json, name=name, imported=count)


@stack.command()
@click.argument("name")
@cwd_option
@yes_option
@click.option("--force", is_flag=True, help="Leave its resources behind, unmanaged.")
@json_option
@handle_errors
def rm(*, name: str, cwd: Path, yes: bool, force: bool, as_json: bool) -> None:
    """Forget a stack that has no resources any more."""
    from octavia_engine import stacks

    if not yes:
        require_terminal()
        console.confirm(f"Forget stack {name}?", err=as_json)
    stacks.remove(cwd, name, force=force)
    if as_json:
        console.echo_json({"name": name, "removed": True})


@stack.command()
@click.argument("names", nargs=-1, metavar="[NAME|URN]...")
@stack_option
@cwd_option
@yes_option
@click.option("--all", "everything", is_flag=True, help="Every resource of the stack.")
@json_option
@handle_errors
def forget(
    *, names: tuple[str, ...], stack: str | None, cwd: Path, yes: bool, everything: bool, as_json: bool
) -> None:  # fmt: skip
    """Drop resources from the state alone, as when the control plane that made them is lost.

    What they stand for, where it still exists, is left behind unmanaged.
    """
    from octavia_engine import stacks

    if bool(names) == everything:
        raise click.UsageError("name resources, or say --all")
    chosen = stacks.require_stack(cwd, stack)
    urns = stacks.find_urns(cwd, chosen, list(names), everything=everything)
    if not yes:
        require_terminal()
        for urn in urns:
            console.echo(urn, err=as_json)
        question = f"Forget these {len(urns)} resources of stack {chosen}, leaving behind what exists?"
        console.confirm(question, err=as_json)
    stacks.forget(cwd, chosen, urns)
    print_result(f"{len(urns)} resources forgotten.", as_json=as_json, name=chosen, forgotten=list(urns))
