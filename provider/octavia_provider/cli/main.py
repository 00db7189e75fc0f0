# SPDX-License-Identifier: Apache-2.0
"""The entry point of ``octaviactl``. Only click is imported before the command is known."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Mapping

import click

from octavia_provider import __version__
from octavia_provider.kit import console, logs
from octavia_provider.model.errors import OctaviaError

from . import environment, exit_codes

# command → (module, attribute, the line in `octaviactl --help`)
COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "up": ("octavia_provider.cli.engine_commands", "up", "Create or update the resources of a stack."),
    "preview": ("octavia_provider.cli.engine_commands", "preview", "Show what `up` would do."),
    "destroy": ("octavia_provider.cli.engine_commands", "destroy", "Delete the resources of a stack."),
    "refresh": ("octavia_provider.cli.engine_commands", "refresh", "Read what exists into the state of a stack."),
    "stack": ("octavia_provider.cli.engine_commands", "stack", "Look at stacks and their state."),
    "start": ("octavia_provider.cli.start", "start", "Start the control plane, and wait until traffic flows."),
    "status": ("octavia_provider.cli.status", "status", "Show the load balancers and how they are."),
    "events": ("octavia_provider.cli.events", "events", "Show what the control plane decided, and follow it."),
    "history": ("octavia_provider.cli.history", "history", "Show the life of a load balancer."),
    "config": ("octavia_provider.cli.config", "config", "Show the haproxy configuration of a load balancer."),
    "try": ("octavia_provider.cli.try_requests", "try_", "Send a few requests and show who answers."),
    "failover": (
        "octavia_provider.cli.amphora_operations",
        "failover",
        "Replace the amphorae of a load balancer, without an outage.",
    ),
    "drain": ("octavia_provider.cli.amphora_operations", "drain", "Have an amphora give its VIPs up, until undone."),
    "rotate": (
        "octavia_provider.cli.amphora_operations",
        "rotate",
        "Give agents other certificates, or another authority.",
    ),
    "reread": ("octavia_provider.cli.reread", "reread", "Read certificates of a certificate manager again."),
    "upgrade": (
        "octavia_provider.cli.amphora_operations",
        "upgrade",
        "Have agents run the code of the control plane's version.",
    ),
    "image": ("octavia_provider.cli.image", "image", "Put amphora images into Glance, and roll them through amphorae."),
    "logs": ("octavia_provider.cli.logs", "logs", "Show the log of the control plane, an amphora or a host."),
    "doctor": ("octavia_provider.cli.doctor", "doctor", "Find out what is missing on this machine, and how to fix it."),
    "serve": ("octavia_provider.cli.serve", "serve", "Run the control plane in the foreground."),
    "listen": ("octavia_provider.cli.listen", "listen", "Serve the API on a TCP port, for OpenStack's clients."),
    "register": (
        "octavia_provider.cli.register",
        "register",
        "Put the control plane into Keystone's catalogue.",
    ),
    "service": ("octavia_provider.cli.service", "service", "Start the control plane at boot, or no longer."),
    "ids": ("octavia_provider.cli.ids", "ids", "Show by which ids what exists can be imported."),
    "leftovers": ("octavia_provider.cli.leftovers", "leftovers", "Show or delete what a crashed run left behind."),
    "adopt": ("octavia_provider.cli.adopt", "adopt", "Go on where the store does not know what runs."),
    "completion": ("octavia_provider.cli.completion", "completion", "Print what a shell needs to complete commands."),
    "purge": ("octavia_provider.cli.purge", "purge", "Remove the embedded cloud with everything in it."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is run; the list of commands costs no import."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


HELP = f"""Load balancers as code, and the tool of those who run them.

\b
Exit codes:
{exit_codes.text()}
"""
EPILOG = f"""{environment.text()}

Shell completion: octaviactl completion --help. All commands and options on one page: docs/reference/octaviactl.md.
"""


@click.group(cls=LazyGroup, help=HELP, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="octaviactl")
def octaviactl() -> None:
    """The commands."""


def main() -> None:
    """Run a command; errors are one line on standard error."""
    colour = False if os.environ.get("NO_COLOR") else None
    if os.environ.get("OCTAVIA_LOG", "").lower() == "debug":
        logs.to_stderr()
    else:
        logs.silence()  # commands print their own output
    try:
        octaviactl.main(prog_name="octaviactl", standalone_mode=False, color=colour)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(file=text)
        console.echo_text(text.getvalue(), nl=False, err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        console.echo("interrupted", err=True)
        sys.exit(130)
    except OctaviaError as error:
        console.print_error(error, color=colour)
        sys.exit(getattr(error, "exit_code", exit_codes.FAILED))
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        console.print_error(_os_error_text(error), color=colour)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - a defect: one line for the user, the traceback in a file
        console.print_error(_internal_error(error), color=colour)
        sys.exit(1)


def _internal_error(error: Exception) -> str:
    """An unexpected error in one line; the traceback goes to a file."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="octaviactl-", suffix=".log", delete=False) as file:
        traceback.print_exception(error, file=file)
    message = " ".join(str(error).split())[:300]
    return f"octaviactl failed: {type(error).__name__}: {message}. Try: report it, with {file.name}"


def _os_error_text(error: OSError) -> str:
    """An ``OSError`` in one line."""
    where = f"{error.filename}: " if error.filename else ""
    hint = " Try: sudo, or an OCTAVIA_HOME of your own." if isinstance(error, PermissionError) else ""
    return f"{where}{error.strerror or error}.{hint}"


if __name__ == "__main__":
    main()
