# SPDX-License-Identifier: Apache-2.0
"""Control planes whose process ends at one call of OpenStack: what a crash leaves there. Each is a process of its own, forked from one that has
imported everything, so that many of them cost little."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import aiohttp

from netns.traffic import until
from octavia_provider.client import embedded
from octavia_provider.kit import paths

ENDED = 77  # as ending.py has it


class Lives:
    """``with Lives(folder, options) as lives``: one life after the other, of one installation in ``folder``."""

    def __init__(self, folder: Path, options: tuple[str, ...]) -> None:
        self._folder, self._home = folder, folder / "h"
        self._words, self._pid = ["serve", "--home", str(self._home), *options], 0

    def __enter__(self) -> Self:
        script = Path(__file__).with_name("ending.py")
        command = [sys.executable, "-P", str(script), str(self._folder), *self._words]
        self._process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        if self._pid and self._ask("over") is None:
            os.kill(self._pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    @property
    def ends(self) -> list[str]:
        """The calls at which they ended."""
        return (self._folder / "ends").read_text().splitlines()

    def begin(self, *, ends: bool) -> bool:
        """A control plane; one that ``ends`` does so at a call at which none did. Whether it has come to serve."""
        self._pid = self._ask("ends" if ends else "begin")
        until(
            lambda: embedded.answers(self._home) or self.code() is not None,
            what="the control plane to start",
            seconds=60,
        )
        return self.code() is None

    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        code: int | None = self._ask("over")
        assert code in (None, 0, ENDED), (self._folder / "stderr.log").read_text()
        return code

    def end(self) -> None:
        """End it as an operator does."""
        os.kill(self._pid, signal.SIGTERM)
        until(lambda: self.code() is not None, what="the control plane to end")

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Ask it once, without patience; ``OSError`` where it does not answer."""
        connector = aiohttp.UnixConnector(str(paths.api_socket(self._home)))
        async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:
            try:
                async with session.request(method, f"http://octavia{path}", json=body) as answer:
                    return await answer.json() if answer.content_type == "application/json" else None
            except aiohttp.ClientError as error:
                raise ConnectionError(str(error)) from error

    def _ask(self, words: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())
