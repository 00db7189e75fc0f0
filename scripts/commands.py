# SPDX-License-Identifier: Apache-2.0
"""The text of docs/reference/octaviactl.md, made from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from octavia_provider.cli import environment, exit_codes
from octavia_provider.cli.main import octaviactl

HEAD = """# octaviactl

Made from the commands by `make docs`; not written by hand. `octaviactl COMMAND --help` says the same.

"""


def page() -> str:
    context = click.Context(octaviactl, info_name="octaviactl")
    parts = [HEAD, "## Exit codes\n\n| code | meaning |\n|---|---|\n"]
    parts += [f"| {number} | {meaning} |\n" for number, meaning in exit_codes.MEANINGS.items()]
    parts.append("\n## Environment variables\n\n| variable | what it is |\n|---|---|\n")
    parts += [f"| `{name}` | {says} |\n" for name, says in environment.VARIABLES.items()]
    parts.append("\n## Commands\n\n")
    parts += [section(command, path) for command, path in commands(octaviactl, context)]
    return "".join(parts).rstrip() + "\n"


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield command, inner
        if isinstance(command, click.Group):
            yield from commands(command, inner)


def section(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = [f"### {context.command_path}\n\n`{usage}`\n\n{told(command.help or '')}\n"]
    options = [
        p
        for p in command.get_params(context)
        if isinstance(p, click.Option) and not p.hidden and "--help" not in p.opts
    ]
    if options:
        text.append("\n| option | what it does |\n|---|---|\n")
        text += [f"| {spelled(option, context)} | {says(option)} |\n" for option in options]
    if command.epilog:
        text.append(f"\n{told(command.epilog)}\n")
    return "".join(text) + "\n"


def told(text: str) -> str:
    """Help as Markdown: what follows \\b keeps its lines."""
    blocks = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        "```text\n" + block.removeprefix("\b\n") + "\n```" if block.startswith("\b") else block for block in blocks
    )


def spelled(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len, reverse=True))
    value = "" if option.is_flag else f" {option.make_metavar(context)}".replace("|", "\\|")
    return names + value


def says(option: click.Option) -> str:
    text = (option.help or "").replace("|", "\\|")
    if option.show_default and option.default is not None:
        text += f" Default: {option.default}."
    return text + (f" (`{option.envvar}`)" if option.envvar else "")
