# SPDX-License-Identifier: Apache-2.0
"""The runtime API (haproxy management guide, section 9.3) and the master's CLI (section 9.4) over their sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from octavia_amphora.shortage import is_shortage

PROMPT = b"\n> "
READ_LIMIT = 64 * 1024 * 1024


class RuntimeApiError(Exception):
    """The socket does not answer: nobody listens, or not in time. Where we ourselves are short of something, all that asks
    raises that OSError."""


@dataclass(frozen=True, slots=True)
class Process:
    """A line of the master's ``show proc``. ``current`` is False for a worker that only finishes its connections, and,
    after a reload that failed, for the one that serves (3.1 and newer). ``reloads``: how many came after it was started.
    """

    pid: int
    kind: str
    current: bool
    reloads: int = 0
    version: str = ""


async def execute(path: Path, command: str, *, timeout: float = 5.0) -> str:
    """One command (or several joined by ``;``), one connection; the whole answer. ``Silent`` when there is none."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(path, limit=READ_LIMIT)
            try:
                writer.write(command.encode() + b"\n")
                # The master's CLI ends the conversation only when it is told to; a worker's does so by itself.
                writer.write_eof()
                return (await reader.read()).decode(errors="replace")
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        if is_shortage(error):
            raise  # it is we who cannot ask
        raise RuntimeApiError(
            f"{path.name} did not answer '{' '.join(command.partition(chr(10))[0].split(' ', 3)[:3])}': {str(error) or 'timeout'}"
        ) from error


async def execute_with_payload(path: Path, command: str, payload: str = "", *, timeout: float = 5.0) -> str:
    """A command with a payload, where it takes one (section 9.3: it ends at the first empty line, so it may have none)."""
    if not payload:
        return await execute(path, command, timeout=timeout)
    lines = "\n".join(line for line in payload.splitlines() if line.strip())
    return await execute(path, f"{command} <<\n{lines}\n", timeout=timeout)


class Session:
    """A conversation on a socket (``prompt`` mode): many commands over one connection."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._name, self._reader, self._writer = name, reader, writer

    @classmethod
    async def open(cls, path: Path, *, timeout: float = 5.0) -> Session:
        """Begin it; ``RuntimeApiError`` when nobody answers."""
        with _broken_off(path.name):
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_unix_connection(path, limit=READ_LIMIT)
        session = cls(path.name, reader, writer)
        try:
            await session.execute(["prompt"], timeout=timeout)
        except BaseException:
            session.close()
            raise
        return session

    async def execute(self, commands: Sequence[str], *, timeout: float = 5.0) -> list[str]:
        """The answer to each, stripped; ``RuntimeApiError`` when the connection breaks on the way.

        All are written at once, so this is as fast as haproxy reads.
        """
        with _broken_off(self._name):
            async with asyncio.timeout(timeout):
                self._writer.write("".join(f"{line}\n" for line in commands).encode())
                answers = [await self._reader.readuntil(PROMPT) for _ in commands]
        return [answer.removesuffix(PROMPT).decode(errors="replace").strip() for answer in answers]

    def close(self) -> None:
        """End it."""
        self._writer.close()


@contextlib.contextmanager
def _broken_off(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        if is_shortage(error):
            raise
        raise RuntimeApiError(f"{name} broke off: {str(error) or 'timeout'}") from error


async def execute_all(path: Path, commands: Sequence[str], *, timeout: float = 30.0) -> list[str]:
    """Many commands over one connection, the answer to each, stripped."""
    if not commands:
        return []
    session = await Session.open(path, timeout=timeout)
    try:
        return await session.execute(commands, timeout=timeout)
    finally:
        session.close()


async def processes(master: Path, *, timeout: float = 5.0) -> list[Process]:
    """The master and its workers (``show proc``)."""
    return parse_processes(await execute(master, "show proc", timeout=timeout))


def parse_processes(text: str) -> list[Process]:
    """``show proc`` → its lines; workers under "# old workers" are not current."""
    found, current = [], True
    for line in text.splitlines():
        if line.startswith("# old workers"):
            current = False
        elif line.startswith("# "):
            current = True
        else:
            words = line.split()
            if len(words) >= 2 and words[0].isdigit() and words[1] in {"master", "worker"}:
                reloads = int(words[2]) if words[2:] and words[2].isdigit() else 0
                found.append(Process(int(words[0]), words[1], current, reloads, words[-1]))
    return found


def serving_workers(found: Sequence[Process]) -> tuple[int, ...]:
    """The workers that serve: the current ones; where none is called so, the newest of the others."""
    workers = [process for process in found if process.kind == "worker"]
    newest = min((process.reloads for process in workers), default=0)
    current = [process for process in workers if process.current]
    return tuple(process.pid for process in current or workers if process.current or process.reloads == newest)


async def current_worker(stats: Path) -> tuple[int, str]:
    """Which worker answers, and the description in the configuration that it has loaded (``show info``)."""
    info = parse_info(await execute(stats, "show info"))
    if "Pid" not in info:
        raise RuntimeApiError(f"{stats.name} gave no process id")
    return int(info["Pid"]), info.get("description", "")


def parse_info(text: str) -> dict[str, str]:
    """``show info`` → its fields."""
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in text.splitlines()) if colon}
