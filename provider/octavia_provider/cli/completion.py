# SPDX-License-Identifier: Apache-2.0
"""``octaviactl completion``: shell completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from octavia_provider.kit import console

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_OCTAVIACTL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a script that makes SHELL complete octaviactl's commands and options.

    \b
    bash: eval "$(octaviactl completion bash)"     in ~/.bashrc
    zsh:  eval "$(octaviactl completion zsh)"      in ~/.zshrc
    fish: octaviactl completion fish | source      in ~/.config/fish/config.fish
    """
    complete_class = get_completion_class(shell)
    root = click.get_current_context().find_root()
    if complete_class is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    console.echo_text(complete_class(root.command, {}, "octaviactl", VARIABLE).source())
