# SPDX-License-Identifier: Apache-2.0
"""The embedded control plane: find it, and start it on demand.

It is a separate process (own session, no inherited descriptors), so it outlives its starter. Starting is "lock, then
connect": of several plugins that start at once, one starts it and the others find it running.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from octavia_provider import __version__
from octavia_provider.kit import home_cloud, homes, logs, paths
from octavia_provider.model.errors import (
    Conflict,
    Forbidden,
    OctaviaError,
    PermanentError,
    Unreachable,
)

from . import endpoints, keystone
from .client import Client
from .deadline import Deadline
from .signed_in import SignedInClient

log = logs.Logger()

START_TIMEOUT = 60.0
"""Seconds for a control plane to start (after a reboot it rebuilds its cloud) or to stop."""
SUBJECT = "the embedded control plane"
TEMPLATES_DIR = "OCTAVIA_TEMPLATES_DIR"
_SERVE = (sys.executable, "-P", "-m", "octavia_provider.cli.main", "serve")


def endpoint(url: str | None = None, home: str | None = None) -> str | None:
    """The URL to use (several are separated by commas): ``url``, else ``OCTAVIA_ENDPOINT`` unless a home is given; None: the embedded control plane."""
    return url or (None if home else os.environ.get("OCTAVIA_ENDPOINT") or None)


def connect(url: str | None = None, home: str | None = None, *, start: bool = True) -> Client:
    """A client of the control plane at ``url`` (default: see :func:`endpoint`), else of the embedded one of this home.

    Nothing happens before the first request, which starts the embedded one; with ``start=False`` it is an error when it
    does not run. One at a URL that asks for a token (401) gets one, where the environment says how to sign in (``OS_CLOUD``,
    ``OS_AUTH_URL``).
    """
    target = endpoint(url, home)
    if target:
        checked = endpoints.checked(target)
        return SignedInClient(keystone.login({}), checked, at_once=False) if keystone.named({}) else Client(checked)
    directory = paths.home(home)
    return Client(start=_Turns(directory, start=start), several=len(paths.instances(directory)) > 1)


class DoesNotRun(PermanentError):
    """There is no embedded control plane, and none is to be started."""


class _Turns:
    """The socket of a control plane of this home; each time that of another one, where several answer."""

    def __init__(self, home: Path, *, start: bool) -> None:
        self._home, self._start = home, start
        self._last: Path | None = None

    def __call__(self, deadline: Deadline) -> Path:
        found = (ensure_running if self._start else _require_running)(self._home, deadline, after=self._last)
        self._last = found.parent
        return found


def _require_running(home: Path, _deadline: Deadline, *, after: Path | None = None) -> Path:
    require_private(home)
    if running(home):
        return _socket(_running(home, after))
    raise DoesNotRun(
        f"does not run (home: {home}), and nothing is started for a look.", subject=SUBJECT,
        hint=home_cloud.start_hint(home),
    )  # fmt: skip


def running(home: Path) -> bool:
    """Whether an embedded control plane of this home accepts connections."""
    return any(answers(instance) for instance in paths.instances(home))


def _running(home: Path, after: Path | None = None) -> Path:
    """The folder of a control plane that accepts connections, another than ``after`` where there is one; else the home."""
    every = paths.instances(home)
    first = every.index(after) + 1 if after in every else 0
    return next((instance for instance in (*every[first:], *every[:first]) if answers(instance)), home)


def answers(home: Path) -> bool:
    """Whether the control plane of this folder accepts connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(_socket(home)))
        except PermissionError:
            raise Forbidden(
                f"{home} is another user's.", subject=SUBJECT, hint="sudo, or an OCTAVIA_HOME of your own"
            ) from None
        except OSError:
            return False
        return True


def require_private(home: Path) -> None:
    """``Forbidden`` when the home belongs to another user or is accessible to others."""
    if (problem := homes.problem(home)) is not None:
        raise Forbidden(problem.message, subject=f"the home {home}", hint=problem.hint)


def ensure_running(home: Path, deadline: Deadline, *, after: Path | None = None) -> Path:
    """Make sure that this home's control plane runs and is not older than this client; return its socket's path.

    ``after``: the folder of one that has failed; another one is taken, where there is one.
    """
    require_private(home)
    if not running(home):
        preflight(home)
        with _lock(home, deadline):
            if not running(home):
                _start(home, deadline)
    instance = _running(home, after)
    if instance == home and not home_cloud.is_openstack(home):  # others are restarted by who started them
        _match_version(home, deadline)
    return _socket(instance)


def preflight(home: Path) -> None:
    """``PermanentError`` when this machine lacks a prerequisite; creates nothing, not even the home."""
    command = [*_SERVE, "--check", "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=_environment())
    if done.returncode:
        message, hint = _last_error(done.stderr.splitlines())
        raise PermanentError(message or f"it ends with code {done.returncode}.", hint=hint or "octaviactl doctor")


def stop(home: Path, deadline: Deadline) -> None:
    """Stop the control planes that run, and wait until they have exited. Traffic is not affected."""
    for instance in paths.instances(home):
        stop_instance(instance, deadline)


def stop_instance(home: Path, deadline: Deadline) -> None:
    """Stop the control plane of this folder, and wait until it has exited."""
    if not answers(home):
        return
    client = Client(start=lambda _: _socket(home))
    try:
        pid = int(client.control_plane(deadline=deadline)["pid"])
        ended = os.pidfd_open(pid)
        try:
            client.request("POST", "/v2/octavia/control-plane/stop", deadline=deadline, subject=SUBJECT)
            if not select.select([ended], [], [], min(START_TIMEOUT, deadline.remaining()))[0]:
                raise PermanentError("was asked to stop and still runs.", subject=SUBJECT, hint="octaviactl logs")
        finally:
            os.close(ended)
    except ProcessLookupError:
        return
    except Unreachable:
        if answers(home):
            raise  # else it has ended since it was looked for: it was killed, and its socket is left
    finally:
        client.close()


def _match_version(home: Path, deadline: Deadline) -> None:
    facts = _facts(home, deadline)
    running_version, own_version = _version(str(facts["version"])), _version(__version__)
    if running_version > own_version:
        raise Conflict(
            f"is version {facts['version']}, and this plugin is the older {__version__}: it might not understand "
            "what that one keeps.",
            subject=SUBJECT,
            hint=f"upgrade pulumi-resource-octavia to {facts['version']}, or use another OCTAVIA_HOME",
        )
    if running_version < own_version:
        with _lock(home, deadline):
            if answers(home) and _version(str(_facts(home, deadline)["version"])) < own_version:
                log.info("restarting the embedded control plane", old=facts["version"], new=__version__)
                stop_instance(home, deadline)
                _start(home, deadline)


def _facts(home: Path, deadline: Deadline) -> Mapping[str, Any]:
    client = Client(start=lambda _: _socket(home))
    try:
        return client.control_plane(deadline=deadline)
    finally:
        client.close()


def _version(text: str) -> tuple[int, ...]:
    release = re.match(r"[\d.]*", text)
    return tuple(int(number) for number in (release[0] if release else "").split(".") if number)


@contextmanager
def _lock(home: Path, deadline: Deadline) -> Iterator[None]:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = paths.start_lock(home).open("w")
    except OSError as error:
        raise PermanentError(
            f"cannot use {home} as its home: {(error.strerror or str(error)).lower()}.",
            subject=SUBJECT,
            hint="an OCTAVIA_HOME that is a folder, or can become one, and is yours",
        ) from None
    with opened as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not deadline.sleep(0.05):  # a blocking flock could not be cancelled
                    raise deadline.interrupted(SUBJECT, "another process was starting it") from None
            else:
                break
        yield


def _start(home: Path, deadline: Deadline) -> None:
    """Start it and wait until it accepts connections or ends, whichever is first."""
    command = [*_SERVE, "--home", str(home)]
    with paths.log_file(home).open("ab") as output:
        log_offset = output.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            start_new_session=True, close_fds=True, env=_environment(),
        )  # fmt: skip
    log.debug("started the embedded control plane", pid=process.pid, home=str(home))
    start_deadline = Deadline(min(START_TIMEOUT, deadline.remaining()), deadline.cancelled)
    ended = os.pidfd_open(process.pid)
    try:
        while not running(home):
            if select.select([ended], [], [], 0.02)[0]:
                raise _start_error(home, log_offset, f"ended with code {process.wait()} while starting")
            if start_deadline.passed():
                raise _start_error(home, log_offset, f"did not start within {start_deadline.seconds:.0f} s")
    finally:
        os.close(ended)


def _environment() -> dict[str, str]:
    """The environment without Pulumi's variables (passphrases, configuration): the process outlives the run."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    if folder := found.get(TEMPLATES_DIR):
        found[TEMPLATES_DIR] = str(Path(folder).absolute())  # the process has another working directory
    return found


def _start_error(home: Path, log_offset: int, what: str) -> OctaviaError:
    """The error of a failed start, with the last error in its log after ``log_offset``."""
    with paths.log_file(home).open("rb") as file:
        file.seek(log_offset)
        lines = file.read().decode(errors="replace").splitlines()
    message, hint = _last_error(lines)
    if not message and homes.is_disk_full(home):  # a full disk leaves no error in the log
        message, hint = "its disk is full.", f"make room on the disk of {home}, then: {home_cloud.start_command(home)}"
    hint = hint or f"octaviactl doctor, and the log {paths.log_file(home)}"
    return PermanentError(f"{what}: {message}" if message else f"{what}.", subject=SUBJECT, hint=hint)


def _last_error(lines: Sequence[str]) -> tuple[str, str]:
    """The last error among the lines, and its hint. ``Error:`` is click's: a setting has a wrong value."""
    errors = [line for line in lines if line.startswith(("error: ", "Error: "))]
    kind, _, text = (errors[-1] if errors else "").partition(": ")
    message, _, hint = text.rstrip(".").partition(". Try: ")
    return f"{message}." if message else "", hint or ("octaviactl serve --help" if kind == "Error" else "")


def _socket(home: Path) -> Path:
    try:
        return paths.api_socket(home)
    except ValueError as error:
        raise PermanentError(str(error), subject=SUBJECT) from None
