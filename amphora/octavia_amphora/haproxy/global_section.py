# SPDX-License-Identifier: Apache-2.0
"""The agent's own part of ``haproxy.cfg``: a leading ``global`` section (haproxy joins several into one).

Who writes which line is told in ``wire.config.compose``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from octavia_amphora.wire.config import Backend, Configuration, compose, without_udp

from .paths import Paths

# An old worker goes when its last connection has gone; this bounds how long a connection without end keeps it.
HARD_STOP_AFTER = "30m"
# Each old worker takes memory: reloads in quick succession with endless connections must not fill the amphora.
MAX_RELOADS = 50


def structure(configuration: Configuration) -> str:
    """A hash of all that only a reload can change: every line that is not a server's, in no particular order."""
    configuration = without_udp(configuration)
    frontends = dict(sorted(configuration.frontends.items()))
    backends = {name: Backend(name, b.pool_id, b.text) for name, b in sorted(configuration.backends.items())}
    bare = Configuration(configuration.load_balancer_id, configuration.base, frontends, backends)
    return hashlib.sha256(compose(bare).encode()).hexdigest()[:16]


def render(paths: Paths, *, mark: str, files: Path | None = None, local_peer: str = "") -> str:
    """The section's text. ``mark`` comes back in ``show info`` as the description: which file a worker has loaded.

    ``files``: where certificates and their like are, if not where haproxy will read them. ``local_peer``: which of the peers
    this amphora is.
    """
    files = files or paths.files
    lines = [
        "global",
        f"    description {mark}",
        f"    stats socket {paths.stats_socket} mode 600 level admin expose-fd listeners",
        "    stats timeout 30s",
        f"    server-state-file {paths.server_states}",
        f"    pidfile {paths.pid}",
        f"    hard-stop-after {HARD_STOP_AFTER}",
        f"    mworker-max-reloads {MAX_RELOADS}",
        f"    setenv OCTAVIA_FILES {files}",
        f"    setenv OCTAVIA_EXPORTER {paths.exporter_socket}",
        f"    setenv OCTAVIA_METRICS {paths.metrics_socket}",
        f"    crt-base {files}",
        f"    ca-base {files}",
        # Where the system grants fewer file descriptors than maxconn needs, serve fewer connections, but serve;
        # haproxy would refuse to start, and -c does not tell (it warns in its log).
        "    no strict-limits",
    ]
    lines += [f"    localpeer {local_peer}"] if local_peer else []
    return "\n".join(lines) + "\n\n"
