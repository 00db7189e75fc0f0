# SPDX-License-Identifier: Apache-2.0
"""``haproxy -c``: asking whether a file is good, and making complaints that name line, proxy and server of the answer."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from octavia_amphora.shortage import Shortage, is_shortage_text
from octavia_amphora.wire.config import Configuration, compose
from octavia_amphora.wire.messages import Complaint

from .user import HaproxyUser, popen_options

TIMEOUT_SECONDS = 40.0
_ENDED_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU)

_ALERT = re.compile(r"^\[ALERT\]\s+\(\d+\)\s*:\s*(?:config\s*:\s*)?(?P<text>.*)$")
_LINE = re.compile(r"\[(?P<file>[^\]\s]+):(?P<line>\d+)\]")
_PROXY = re.compile(r"\b(?:[Pp]roxy|frontend|backend|listener|listen) '(?P<name>[^']+)'")
_SERVER = re.compile(r"\bserver '?(?:(?P<backend>[^'\s/]+)/)?(?P<name>[^'\s/]+)'?")
_SUMMARY = ("Error(s) found in configuration file", "Fatal errors found in configuration")


@dataclass(frozen=True, slots=True)
class LineOwner:
    """Whose line it is: of which frontend or backend, of which server."""

    proxy: str = ""
    server: str = ""


def line_owners(configuration: Configuration) -> list[LineOwner]:
    """For each line of ``compose(configuration)``, whose it is; the first line is at index 0."""
    found, proxy = [], ""
    for line in compose(configuration).splitlines():
        words = line.split()
        if line[:1].strip() and words:
            proxy = words[1] if words[0] in {"frontend", "backend"} and len(words) > 1 else ""
        server = words[1] if proxy and len(words) > 1 and words[0] == "server" else ""
        found.append(LineOwner(proxy, server))
    return found


def complaints(output: str, configuration: Configuration, *, skipped_lines: int) -> tuple[Complaint, ...]:
    """The alerts of ``haproxy -c``, each with its place. ``skipped_lines``: of the global section, before the first of compose."""
    owners = line_owners(configuration)
    found: dict[Complaint, None] = {}
    for line in output.splitlines():
        alert = _ALERT.match(line)
        if alert and not alert["text"].startswith(_SUMMARY):
            found[_complaint(alert["text"], configuration, owners, skipped_lines)] = None
    return tuple(found)


def _complaint(text: str, configuration: Configuration, owners: Sequence[LineOwner], skipped: int) -> Complaint:
    number, proxy, server = None, "", ""
    at = _LINE.search(text)
    if at:
        number = int(at["line"]) - skipped
        if 1 <= number <= len(owners):
            proxy, server = owners[number - 1].proxy, owners[number - 1].server
        else:
            number = None
    if not proxy:
        proxy, server = _owner_in_text(text, configuration)
    message = _LINE.sub(lambda m: f"[haproxy.cfg:{number or m['line']}]", text)
    return Complaint(message=message, line=number, proxy=proxy, server=server)


def _owner_in_text(text: str, configuration: Configuration) -> tuple[str, str]:
    """Proxy and server named in the words, if the configuration has them."""
    known = configuration.frontends.keys() | configuration.backends.keys()
    proxy = next((m["name"] for m in _PROXY.finditer(text) if m["name"] in known), "")
    for named in _SERVER.finditer(text):
        proxy = proxy or (named["backend"] if named["backend"] in known else "")
        backend = configuration.backends.get(proxy)
        if backend and named["name"] in backend.servers:
            return proxy, named["name"]
    return proxy, ""


async def check(haproxy: str, path: Path, account: HaproxyUser | None = None) -> str | None:
    """Run ``haproxy -c`` as that user: None when the file is good, else all that haproxy said.

    OSError when it came to no verdict for want of something: time, memory, processes, descriptors.
    """
    return await asyncio.to_thread(_check, haproxy, path, account)


def _check(haproxy: str, path: Path, account: HaproxyUser | None) -> str | None:
    command = [haproxy, "-c", "-f", str(path)]
    try:
        run = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            **popen_options(account),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Shortage(f"{haproxy} -c did not run: {error}") from error
    output = f"{run.stdout}{run.stderr}"
    if -run.returncode in _ENDED_BY_OTHERS:
        raise Shortage(f"{haproxy} -c was ended by {signal.Signals(-run.returncode).name}; for want of memory, perhaps")
    if run.returncode != 0 and is_shortage_text(output):
        raise Shortage(f"{haproxy} -c came to no verdict: {output.strip()[-500:]}")
    return None if run.returncode == 0 else output


async def version(haproxy: str) -> str:
    """``2.6.12-…``; empty when haproxy does not run."""

    def run() -> str:
        return subprocess.run([haproxy, "-v"], capture_output=True, text=True, timeout=10, check=False).stdout

    try:
        found = re.search(r"version (\S+)", await asyncio.to_thread(run))
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found[1] if found else ""
