# SPDX-License-Identifier: Apache-2.0
"""PROMETHEUS listeners: haproxy's own exporter, named in Octavia's words by the agent.

A scrape goes from the listener to the agent, which asks haproxy's exporter and renames what it says. Both ways are
sockets of the file system, which only the amphora has; where they are, the agent's prelude says (``OCTAVIA_EXPORTER``,
``OCTAVIA_METRICS``). So certificates, client authentication and allowed CIDRs hold as for any listener.
"""

from __future__ import annotations

from collections.abc import Iterable

from octavia_provider.model.listener import METRICS, Listener

from .lines import Lines

EXPORTER, AGENT = "octavia-exporter", "octavia-metrics"  # ids are UUIDs: none is one of these
_SECTIONS = f"""
frontend {EXPORTER}
    mode http
    bind "unix@${{OCTAVIA_EXPORTER}}" mode 600
    timeout client 30s
    http-request use-service prometheus-exporter

backend {AGENT}
    mode http
    timeout connect 5s
    timeout server 30s
    server agent "unix@${{OCTAVIA_METRICS}}"
"""


def sections(listeners: Iterable[Listener]) -> str:
    """What stands beside the listeners, where one of them is for metrics."""
    return _SECTIONS if any(listener.protocol == METRICS for listener in listeners) else ""


def frontend(lines: Lines, listener: Listener) -> None:
    """The lines of such a listener: ``/metrics`` and nothing else."""
    me = listener.id
    lines.add(
        me,
        "http-request return status 404 content-type text/plain string",
        '"metrics are at /metrics"',
        "unless { path /metrics }",
    )
    lines.add(me, "http-request set-path", f"/{listener.loadbalancer_id}")
    lines.add(me, "default_backend", AGENT)
