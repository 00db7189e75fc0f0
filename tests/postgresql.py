# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server for tests: Debian's, run by a user without rights, in a temporary folder, on a Unix socket only.

One server a session, made when the first test asks for it; a database a test. No service of the machine is touched. Where
it is not installed tests that need it are skipped, and with ``CI`` or ``POSTGRESQL_CHECK=required`` they fail.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

USER = "nobody"  # initdb refuses to run as root
OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",  # no test takes the machine's power away
    "shared_buffers": "16MB",
    "max_connections": "60",
}


class Server:
    """A running server. ``stop`` and ``start`` are for tests that restart it."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self._programs = folder, programs
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        made = [self._programs / "initdb", "-D", folder / "data", "--auth=trust", "--username=octavia", "--no-sync"]
        made = [*self._unprivileged(), *made, "--encoding=UTF8", "--locale=C"]
        said = subprocess.run(made, check=False, capture_output=True, cwd=folder)
        assert said.returncode == 0, said.stderr.decode()
        self.start()

    def start(self) -> None:
        settings = {**OPTIONS, "unix_socket_directories": str(self.folder)}
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._unprivileged(), self._programs / "postgres", "-D", self.folder / "data", *options],
                stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError), self.administration():
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)  # the server tells its readiness by no other way than an answer
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT: at once, connections are closed; SIGQUIT: as a crash."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait()

    @contextlib.contextmanager
    def administration(self, name: str = "postgres") -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._info(name), autocommit=True) as connection:
            yield connection

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database."""
        name = f"test{next(self._numbers)}"
        with self.administration() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        yield f"postgresql://octavia@/{name}?host={self.folder}"
        with self.administration() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _info(self, name: str) -> str:
        return f"host={self.folder} user=octavia dbname={name}"

    @staticmethod
    def _unprivileged() -> list[str]:
        """It ends with us, however we end."""
        dropped = ["--reuid", USER, "--regid", "nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *dropped, "--pdeathsig", "QUIT", "--"]


def programs() -> Path | None:
    """Where the newest installed server is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).resolve().parent if named else None


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    where = programs()
    if where is None:
        reason = "PostgreSQL is not installed. Try: apt-get install postgresql"
        if os.environ.get("CI") or os.environ.get("POSTGRESQL_CHECK") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not under pytest's folders: a socket's path has 107 bytes at most
    server = Server(folder, where)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def postgresql(postgresql_server: Server) -> Iterator[str]:
    """The URL of a new, empty database."""
    with postgresql_server.database() as url:
        yield url
