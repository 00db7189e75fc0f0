# SPDX-License-Identifier: Apache-2.0
"""Checks that the agent makes for haproxy: a member goes and comes back, as clients and statuses see it."""

from __future__ import annotations

import http.client
import os
import signal
import sys
from typing import Any

import pytest

from .installation import SERVER, Installation, Stack, all_answer, ask, make_stack, until

ALWAYS = {"delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}
# A TLS server on port 8443 beside the HTTP server; the key is made on the spot.
TLS = """
import os, ssl, subprocess, tempfile, threading
folder = tempfile.mkdtemp()
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
    "/CN=m", "-keyout", folder + "/k", "-out", folder + "/c"], check=True, capture_output=True)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/c", folder + "/k")
import http.server
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
    def log_message(self, *args):
        pass
beside = http.server.ThreadingHTTPServer(("", 8443), Quiet)
beside.socket = context.wrap_socket(beside.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=beside.serve_forever, daemon=True).start()
"""
# Something that takes connections and speaks no TLS (and no HTTP/2) on the same port.
MUTE = """
import socketserver, threading
class Mute(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(1000)
        self.request.sendall(b"no such thing\\r\\n")
socketserver.ThreadingTCPServer.allow_reuse_address = True
beside = socketserver.ThreadingTCPServer(("", 8443), Mute)
threading.Thread(target=beside.serve_forever, daemon=True).start()
"""
# A real gRPC server (grpcio) that says what its second word says: SERVING is 1, NOT_SERVING 2.
GRPC = """
import sys
sys.path[:0] = {path!r}
import grpc
from concurrent import futures
def answer(request, context):
    assert request == b"\\x0a\\x03a.B", request
    return bytes([8, {status}])
handler = grpc.unary_unary_rpc_method_handler(answer)
server = grpc.server(futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {{"Check": handler}})])
server.add_insecure_port("0.0.0.0:8443")
server.start()
"""


def grpc(status: int) -> str:
    return GRPC.format(path=[entry for entry in sys.path if entry], status=status)


CASES = {
    "TLS-HELLO": ({"type": "TLS-HELLO", **ALWAYS}, TLS, MUTE),
    "HTTPS": ({"type": "HTTPS", **ALWAYS, "expected_codes": "204"}, TLS, MUTE),
    "GRPC": ({"type": "GRPC", **ALWAYS, "grpc_service": "a.B"}, grpc(1), grpc(2)),
}


def serve(stack: Stack, name: str, beside: str, **extra: Any) -> None:
    host = next(h for h in stack.hosts if h["name"] == name)
    stack.site.update(
        "local_host",
        host["id"],
        command=["python3", "-c", beside + SERVER],
        user="root",
        environment={"NAME": name, "PACKAGES": ":".join(sys.path), **extra},  # shown to it, where they are in /root
    )


def status(stack: Stack, name: str) -> str:
    member = next(m for m in stack.members if m["name"] == name)
    return str(stack.site.get("member", member["id"], parent=stack.pool["id"])["operating_status"])


def answers(stack: Stack, count: int = 12) -> set[str]:
    found = [ask(stack.url) for _ in range(count)]
    assert {code for code, _ in found} == {200}
    return {body for _, body in found}


@pytest.mark.covers(
    "health_monitor.type=TLS-HELLO", "health_monitor.type=HTTPS", "health_monitor.type=GRPC",
    "health_monitor.grpc_service", "health_monitor.expected_codes", "member.monitor_port",
)  # fmt: skip
@pytest.mark.parametrize("case", CASES)
def test_up_down_and_up_again__as_clients_and_statuses_see_it(site: Installation, case: str) -> None:
    monitor, well, unwell = CASES[case]
    stack = make_stack(site, members=2)
    for name in ("m1", "m2"):
        serve(stack, name, well)
    for member in stack.members:
        site.update("member", member["id"], parent=stack.pool["id"], monitor_port=8443)
    site.create("health_monitor", pool_id=stack.pool["id"], **monitor)
    until(lambda: all_answer(stack) and {status(stack, "m1"), status(stack, "m2")} == {"ONLINE"})

    serve(stack, "m2", unwell)
    until(lambda: status(stack, "m2") == "ERROR" and answers(stack) == {"m1"}, what="status and clients to say so")
    # What is known survives a reload, and a change at run time that haproxy takes for "up".
    site.update("listener", stack.listener["id"], connection_limit=1000)
    assert answers(stack) == {"m1"}
    member = next(m for m in stack.members if m["name"] == "m2")
    site.update("member", member["id"], parent=stack.pool["id"], weight=2)
    assert answers(stack) == {"m1"}

    serve(stack, "m2", well)
    until(lambda: status(stack, "m2") == "ONLINE" and answers(stack) == {"m1", "m2"})


@pytest.mark.covers("health_monitor.type=PING")
def test_ping__a_host_that_is_gone_and_the_deaths_of_haproxy_and_agent(site: Installation) -> None:
    stack = make_stack(site, members=2, monitor={"type": "PING", **ALWAYS})
    host = stack.hosts[1]
    name = f"host-{host['id']}"
    enter = ("ip", "netns", "exec", name)
    assert site.inside(*enter, "nft", "add table ip t; add chain ip t i { type filter hook input priority 0; }; "
                       "add rule ip t i icmp type echo-request drop").returncode == 0  # fmt: skip
    until(lambda: status(stack, "m2") == "ERROR")
    assert answers(stack) == {"m1"}
    lines = site.inside("ps", "-eo", "pid=,args=").stdout.splitlines()
    haproxies = [line.split()[0] for line in lines if "haproxy -Ws" in line]
    agents = site.agents()
    for agent in agents:
        os.kill(agent, signal.SIGKILL)
    until(lambda: site.agents() not in ([], agents))
    assert answers(stack) == {"m1"}
    site.inside("kill", "-9", *haproxies)
    until(lambda: status(stack, "m1") == "ONLINE" and _answers(stack) == {"m1"}, what="haproxy to be started again")
    assert answers(stack) == {"m1"}
    assert site.inside(*enter, "nft", "delete table ip t").returncode == 0
    until(lambda: status(stack, "m2") == "ONLINE" and answers(stack) == {"m1", "m2"})


def _answers(stack: Stack) -> set[str]:
    try:
        return answers(stack)
    except (OSError, AssertionError):
        return set()


@pytest.mark.covers("listener.allowed_cidrs")
def test_allowed_cidrs__of_the_vip_by_packets_and_of_the_published_by_proxy(site: Installation) -> None:
    stack = make_stack(site, members=1)
    vip = stack.load_balancer["vip_address"]

    def through_vip(source: str) -> str:
        program = (
            "import socket,sys\nc=socket.create_connection((sys.argv[1],80),1,(sys.argv[2],0))\n"
            "c.send(b'GET / HTTP/1.0\\r\\n\\r\\n')\nprint(c.recv(99)[9:12].decode())"
        )
        site.inside("ip", "addr", "replace", f"{source}/32", "dev", "lo")
        done = site.inside("python3", "-c", program, vip, source)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1].split(":")[0]

    one, other = f"{vip.rpartition('.')[0]}.200", f"{vip.rpartition('.')[0]}.201"
    site.update("listener", stack.listener["id"], allowed_cidrs=[f"{one}/32"])
    until(lambda: through_vip(one) == "200", what="who is allowed to come in")
    assert "imeout" in through_vip(other) or "timed out" in through_vip(other)
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(stack.url)
    site.update("listener", stack.listener["id"], allowed_cidrs=["127.0.0.0/8"])
    assert ask(stack.url)[0] == 200
    assert through_vip(one) != "200"
    site.update("listener", stack.listener["id"], allowed_cidrs=None)
    until(lambda: {through_vip(one), through_vip(other), str(ask(stack.url)[0])} == {"200"}, what="all to come in")
