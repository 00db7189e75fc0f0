# SPDX-License-Identifier: Apache-2.0
"""A small real agent for tests of the cloud: answers with facts about itself, and looks after a haproxy.

Its haproxy answers port 8080 (with the PROXY protocol) and 8081 (without) with the client's address. An agent that is
started again finds the haproxy that it left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ETC, RUN, STATE = (Path(p) for p in ("/etc/octavia-amphora", "/run/octavia-amphora", "/var/lib/octavia-amphora"))
HAPROXY = """defaults
    mode http
    timeout client 1m
    timeout server 1m
    timeout connect 5s
frontend all
    bind :8080 accept-proxy
    bind :8081
    bind :::8081 v6only
    http-request return status 200 content-type text/plain lf-string "%[src] {name}"
"""


def adopt_or_start() -> int:
    pid_file = RUN / "haproxy.pid"
    if pid_file.exists() and Path("/proc", pid_file.read_text()).exists():
        return int(pid_file.read_text())
    (RUN / "haproxy.cfg").write_text(HAPROXY.format(name=os.uname().nodename))
    process = subprocess.Popen(["haproxy", "-db", "-f", RUN / "haproxy.cfg"], start_new_session=True)
    pid_file.write_text(str(process.pid))
    return process.pid


def facts() -> dict[str, object]:
    settings = ETC / "agent.json"
    starts = int((STATE / "starts").read_text())
    return {
        "pid": os.getpid(),
        "haproxy": HAPROXY_PID,
        "starts": starts,
        "mode": oct(settings.stat().st_mode & 0o777),
        "memory": any(line.split()[1] == str(ETC) and line.split()[2] == "tmpfs" for line in MOUNTS),
        "host": os.uname().nodename,
        "namespaces": sorted(p.name for p in Path("/run/netns").iterdir()),
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(facts()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        print(*arguments, file=sys.stderr)


if __name__ == "__main__":
    SETTINGS = json.loads((ETC / "agent.json").read_text())
    MOUNTS = Path("/proc/mounts").read_text().splitlines()
    before = int((STATE / "starts").read_text()) if (STATE / "starts").exists() else 0
    (STATE / "starts").write_text(str(before + 1))
    HAPROXY_PID = adopt_or_start()
    ThreadingHTTPServer((SETTINGS["address"], SETTINGS["port"]), Handler).serve_forever()
