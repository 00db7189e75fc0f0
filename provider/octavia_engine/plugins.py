# SPDX-License-Identifier: Apache-2.0
"""Plugin processes: found, started and called as the ``pulumi`` CLI does.

A plugin gets the engine's address as its last argument, prints the port it listens on as its first line, and may log
after that. Each provider resource has a process of its own, as with the CLI.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavia_provider.model.errors import NotFound, Unreachable
from octavia_provider.pulumirpc.proto import CHANNEL_OPTIONS, stub

START_TIMEOUT = 60.0
"""Seconds for a plugin to print its port."""
_STOP_TIMEOUT = 10.0
_END_TIMEOUT = 1.0
_MAX_LINE = 1 << 20

OnOutput = Callable[[str, str], None]
"""Callback for a line of a plugin's output: (severity, line)."""


@dataclass
class Plugin:
    """A running plugin: its process, its channel and its stub."""

    package: str
    path: Path
    process: Process
    channel: Any
    provider: Any
    readers: list[asyncio.Task[None]]
    version: str = ""

    async def has_ended(self) -> bool:
        """Whether the process has exited: its connection breaks a moment earlier."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), _END_TIMEOUT)
        return self.process.returncode is not None

    async def cancel(self) -> None:
        """Ask it to cancel its calls. Never waits long, never fails."""
        import grpc
        from google.protobuf import empty_pb2

        with suppress(grpc.aio.AioRpcError):
            await self.provider.Cancel(empty_pb2.Empty(), timeout=_STOP_TIMEOUT)

    async def stop(self) -> None:
        """Close it: Cancel, then terminate, then kill."""
        if self.process.returncode is None:
            await self.cancel()
        await self.channel.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.returncode is None:
                with suppress(ProcessLookupError):
                    self.process.send_signal(number)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.process.wait(), _STOP_TIMEOUT)
        for reader in self.readers:  # a grandchild may hold the pipes open
            reader.cancel()
        await asyncio.gather(*self.readers, return_exceptions=True)


@dataclass
class PluginHost:
    """Starts plugins for one run.

    ``folders`` are those of ``plugins.providers`` in Pulumi.yaml; ``environment`` is added to ours; ``on_output`` gets
    each line of output.
    """

    engine_address: str
    folders: dict[str, Path]
    working_dir: Path
    environment: dict[str, str]
    on_output: OnOutput
    running: list[Plugin] = field(default_factory=list)

    def find(self, package: str) -> Path:
        """The executable ``pulumi-resource-<package>``. Raises NotFound with the places searched."""
        name = f"pulumi-resource-{package}"
        own_folder = Path(sys.executable).parent
        folders = [self.folders[package]] if package in self.folders else []
        for folder in [*folders, own_folder, *map(Path, os.environ.get("PATH", "").split(os.pathsep))]:
            found = shutil.which(name, path=str(folder))
            if found:
                return Path(found).absolute()
        raise NotFound(
            f"no plugin {name} on PATH, in {own_folder} or in plugins.providers of Pulumi.yaml",
            subject=f"package {package}",
            hint=f"install the provider of {package} and run again",
        )

    async def start(self, package: str) -> Plugin:
        """A new process of the package's plugin, connected. Raises NotFound and Unreachable."""
        import grpc

        path = self.find(package)
        process = await asyncio.create_subprocess_exec(
            path,
            self.engine_address,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.working_dir,
            env=os.environ | self.environment,
            limit=_MAX_LINE,
            start_new_session=True,  # Ctrl-C reaches only us; plugins get Cancel
        )
        readers = [asyncio.create_task(self._forward_output(process.stderr, "info#err"))]
        try:
            port = await self._read_port(package, process)
        except BaseException:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await asyncio.gather(*readers, return_exceptions=True)
            raise
        readers.append(asyncio.create_task(self._forward_output(process.stdout, "info")))
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        provider = stub("provider_pb2_grpc").ResourceProviderStub(channel)
        plugin = Plugin(package, path, process, channel, provider, readers)
        self.running.append(plugin)
        return plugin

    async def _read_port(self, package: str, process: Process) -> int:
        try:
            line = await asyncio.wait_for(_pipe(process.stdout).readline(), START_TIMEOUT)
        except TimeoutError as error:
            raise Unreachable(
                f"its plugin printed no port within {START_TIMEOUT:.0f} s", subject=f"package {package}"
            ) from error
        text = line.decode(errors="replace").strip()
        if not text.isdigit():
            what = f"printed {text!r}" if text else "ended"
            raise Unreachable(
                f"its plugin {what} where its port was expected",
                subject=f"package {package}",
                hint="see its output above; nothing may be printed before the port",
            )
        return int(text)

    async def _forward_output(self, stream: asyncio.StreamReader | None, severity: str) -> None:
        while line := await _pipe(stream).readline():
            text = line.decode(errors="replace").rstrip()
            if text:
                self.on_output(severity, text)

    async def cancel(self) -> None:
        """Cancel the calls of every plugin."""
        await asyncio.gather(*(plugin.cancel() for plugin in self.running))

    def kill(self) -> None:
        """Kill every plugin."""
        for plugin in self.running:
            with suppress(ProcessLookupError):
                plugin.process.kill()

    async def stop(self) -> None:
        """Stop every plugin."""
        await asyncio.gather(*(plugin.stop() for plugin in self.running))
        self.running.clear()


def _pipe(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise ValueError("the plugin was started without pipes")
    return stream
