# SPDX-License-Identifier: Apache-2.0
"""``python -m octavia_provider.clouds.netns.holder``: goes behind the walls, builds the fabric, serves until it is killed.

It says on the descriptor ``--ready`` whether that worked, in one line of JSON, and closes it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from pathlib import Path

from . import confinement, errors, interpreter, kernel, namespaces, server


def main() -> None:
    """Never returns, but for ``--help`` and wrong arguments."""
    parser = argparse.ArgumentParser(prog="octavia-cloud", description="The holder of the embedded cloud.")
    parser.add_argument(
        "--home", type=Path, required=True, help="the home directory; <home>/cloud/holder.sock is served"
    )
    parser.add_argument("--management", required=True, help="the management network, as 100.64.0.0/16")
    parser.add_argument("--agent", required=True, help="the command that runs the agent, a JSON list")
    parser.add_argument("--ready", type=int, required=True, help="a descriptor for one line that says how it went")
    options = parser.parse_args()
    try:
        cloud = _build(options)
        listening = cloud.listen(options.home / "cloud" / "holder.sock")
    except (OSError, errors.Problem) as error:
        problem = errors.Problem(f"it cannot be built: {error}", hint="`octaviactl doctor`")
        _report(options.ready, {"error": problem.data})
        sys.exit(1)
    _report(options.ready, {})
    cloud.serve(listening)


def _build(options: argparse.Namespace) -> server.Server:
    os.chdir("/")
    os.umask(0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # all that runs in the cloud has what we have
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{namespaces.PATH}"
    machine = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    namespaces.raise_walls()
    kernel.set_name("octavia-cloud")
    confinement.give_up()
    interpreter.compile_agent()
    return server.Server(options.home, options.management, json.loads(options.agent), machine)


def _report(descriptor: int, message: dict[str, object]) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as ready:
        ready.write(json.dumps(message))


main()
