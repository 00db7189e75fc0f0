# SPDX-License-Identifier: Apache-2.0
"""Stands where the agent does, and attacks, as the agent and as haproxy's user; tells what became of it over HTTP.

``GET /agent?{targets}`` and ``GET /haproxy?{targets}``. haproxy's user is become as the real agent does that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from octavia_amphora.haproxy.user import HaproxyUser, popen_options


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = urllib.parse.urlsplit(self.path)
        targets = json.loads(urllib.parse.unquote(asked.query))
        targets["processes"] = [1, os.getpid() if asked.path == "/haproxy" else SLEEPER.pid]
        targets["victims"] = [1, os.getpid()] if asked.path == "/haproxy" else [1]
        as_whom = popen_options(HaproxyUser.from_name("haproxy")) if asked.path == "/haproxy" else {}
        command = [sys.executable, "-c", CODE, json.dumps(targets)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **as_whom)
        body = (done.stdout or json.dumps({"error": done.stderr})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


CODE = f"""import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import attacker
print(json.dumps({{"attempts": attacker.attempts(json.loads(sys.argv[1])), "status": attacker.status()}}))
"""

if __name__ == "__main__":
    SETTINGS = json.loads(Path("/etc/octavia-amphora/agent.json").read_text())
    SLEEPER = subprocess.Popen(["sleep", "1000000"], **popen_options(HaproxyUser.from_name("haproxy")))
    ThreadingHTTPServer((SETTINGS["address"], SETTINGS["port"]), Handler).serve_forever()
