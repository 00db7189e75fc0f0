# SPDX-License-Identifier: Apache-2.0
"""The program's process: started by the project's own Python through :mod:`runner`, its output shown."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from octavia_engine import runner
from octavia_engine.backend import ORGANIZATION
from octavia_engine.project import Config, Project
from octavia_provider.model import kinds

_MAX_LINE = 1 << 20


class Program:
    """A running program."""

    def __init__(self, process: Process, readers: list[asyncio.Task[None]]) -> None:
        self._process, self._readers = process, readers

    @classmethod
    async def start(
        cls,
        project: Project,
        stack: str,
        config: Config,
        address: str,
        on_output: Callable[[str, str], None],
        *,
        parallel: int,
        preview: bool,
    ) -> Program:
        """Start the project's program against the engine at ``address``."""
        arguments = {
            "program": str(project.program),
            "monitor": address,
            "engine": address,
            "project": project.name,
            "stack": stack,
            "organization": ORGANIZATION,
            "parallel": parallel,
            "dry_run": preview,
            "root_directory": str(project.folder),
        }
        process = await asyncio.create_subprocess_exec(
            project.python,
            "-u",
            str(Path(runner.__file__)),
            json.dumps(arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=project.working_dir,
            env=os.environ | environment(config),
            limit=_MAX_LINE,
            start_new_session=True,  # Ctrl-C reaches only us, from the start
        )
        kinds.prepare()
        readers = [
            asyncio.create_task(_forward_output(stream, severity, on_output))
            for stream, severity in ((process.stdout, "info"), (process.stderr, "info#err"))
            if stream is not None
        ]
        return cls(process, readers)

    async def wait(self) -> int:
        """Wait for its exit and all its output; return the exit code."""
        await asyncio.gather(*self._readers)
        return await self._process.wait()

    async def kill(self) -> None:
        """Stop it now."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
        await self.wait()


def environment(config: Config) -> dict[str, str]:
    """The configuration as environment variables of programs and plugins."""
    return {
        "PULUMI_CONFIG": json.dumps(config.values),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(sorted(config.secret_keys)),
    }


async def _forward_output(stream: asyncio.StreamReader, severity: str, on_output: Callable[[str, str], None]) -> None:
    while line := await stream.readline():
        on_output(severity, line.decode(errors="replace").rstrip())
