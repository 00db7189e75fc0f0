# SPDX-License-Identifier: Apache-2.0
"""Where the files of one load balancer are: what has to outlive a reboot, and what lives in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .user import HaproxyUser

EXPORTER_SOCKET, METRICS_SOCKET = "exporter.sock", "metrics.sock"


@dataclass(frozen=True, slots=True)
class Paths:
    """``state`` is on disk, ``run`` in memory; both hold files of this load balancer alone.

    With an ``account``, haproxy's user may read its configuration and certificates, and writes to one directory alone.

    Socket paths have to stay under 90 bytes: haproxy binds them with a suffix first, and the kernel allows 107.
    """

    state: Path
    run: Path
    haproxy_user: HaproxyUser | None = None

    @classmethod
    def for_load_balancer(
        cls, state_directory: str, run_directory: str, load_balancer_id: str, account: HaproxyUser | None = None
    ) -> Paths:
        """Of one load balancer."""
        return cls(Path(state_directory) / load_balancer_id, Path(run_directory) / load_balancer_id, account)

    def create(self) -> None:
        """Make both directories, for our eyes alone but for what haproxy's user has to see."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in (self.contents, self.files, self.candidate_files):
            directory.mkdir(mode=0o700, exist_ok=True)
        if self.haproxy_user:
            self.runtime_dir.mkdir(mode=0o700, exist_ok=True)
            for directory in (self.state.parent, self.run.parent, self.state, self.run, self.contents):
                self.haproxy_user.share_directory(directory, 0o711 if directory == self.run.parent else 0o710)
            for directory in (self.files, self.candidate_files):
                self.haproxy_user.share_directory(directory, 0o750)
            self.haproxy_user.share_directory(self.runtime_dir, 0o770)

    @property
    def mode(self) -> int:
        """Of files that haproxy reads."""
        return 0o640 if self.haproxy_user else 0o600

    @property
    def runtime_dir(self) -> Path:
        """What haproxy makes itself: its sockets, and the file with its process id."""
        return self.run / "haproxy" if self.haproxy_user else self.run

    @property
    def config(self) -> Path:
        """``haproxy.cfg``: what the next reload or start reads."""
        return self.state / "haproxy.cfg"

    @property
    def candidate(self) -> Path:
        """What ``haproxy -c`` reads."""
        return self.state / "candidate.cfg"

    @property
    def contents(self) -> Path:
        """Contents of files, by digest: of what is in force and of what is to be."""
        return self.run / "contents"

    @property
    def files(self) -> Path:
        """Certificates and their like by name, as haproxy reads them."""
        return self.run / "files"

    @property
    def candidate_files(self) -> Path:
        """The same for ``haproxy -c``."""
        return self.run / "candidate"

    @property
    def counters(self) -> Path:
        """The listeners' counters."""
        return self.state / "counters.json"

    @property
    def server_states(self) -> Path:
        """What haproxy reads at a reload to know which servers are dead (``server-state-file``)."""
        return self.run / "servers"

    @property
    def verdicts(self) -> Path:
        """Which servers the agent's own checks found dead."""
        return self.run / "verdicts.json"

    @property
    def tables(self) -> Path:
        """What stick tables remember, while a reload goes on."""
        return self.run / "tables.json"

    @property
    def stats_socket(self) -> Path:
        """The worker's runtime API."""
        return self.runtime_dir / "stats.sock"

    @property
    def master_socket(self) -> Path:
        """The master's CLI."""
        return self.runtime_dir / "master.sock"

    @property
    def notify_socket(self) -> Path:
        """Where the master says that it is ready (``sd_notify``)."""
        return self.run / "notify.sock"

    @property
    def exporter_socket(self) -> Path:
        """haproxy's own metrics, for the agent alone."""
        return self.runtime_dir / EXPORTER_SOCKET

    @property
    def metrics_socket(self) -> Path:
        """The agent's metrics of all load balancers, for every haproxy of the amphora."""
        return self.run.parent / METRICS_SOCKET

    @property
    def pid(self) -> Path:
        """The master's process id, written by haproxy."""
        return self.runtime_dir / "haproxy.pid"

    @property
    def lock(self) -> Path:
        """What every process of haproxy has locked."""
        return self.run / "haproxy.lock"

    @property
    def log(self) -> Path:
        """What haproxy says on its standard error."""
        return self.run / "haproxy.log"
