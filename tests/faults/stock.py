# SPDX-License-Identifier: Apache-2.0
"""A pair as stock Octavia configures it: its keepalived.conf, its check, its units, with its defaults; two namespaces on a
bridge, and a member that answers with the address of the amphora that asks.

VRRP version 2 with an advertisement a second, priorities 100 and 90, a check of haproxy every 5 s that has to fail twice, and
the gratuitous ARP of its defaults. Left out: the authentication (keepalived ignores more than it checks), routes and rules of
the VIP (the client is in its subnet).
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from netns.processes import command
from netns.sandbox import Sandbox
from netns.traffic import until

from . import member
from .pair import Pair, descendants, lose

PROGRAM = Path(__file__).with_name("stock_amphora.py")

VIP, PREFIX, PORT, MEMBER = "10.77.0.9", 24, 80, 8080
GATEWAY = "10.77.0.1"
ADDRESSES = {"master": "10.77.0.11", "backup": "10.77.0.12"}
MACS = {"master": "02:00:00:77:00:11", "backup": "02:00:00:77:00:12"}
"""Of their ports, which a replaced server keeps: its neighbours send to the one that they know."""
PRIORITIES = {"master": 100, "backup": 90}
KEEPALIVED = """
global_defs {{
  script_user root
}}
vrrp_script check_script {{
  script "{check}"
  interval 5
  fall 2
  rise 2
}}
vrrp_instance lb {{
  state {state}
  interface eth0
  virtual_router_id 1
  priority {priority}
  nopreempt
  accept
  garp_master_refresh 5
  garp_master_refresh_repeat 2
  advert_int 1
  unicast_src_ip {address}
  unicast_peer {{
    {peer}
  }}
  virtual_ipaddress {{
    {vip}
  }}
  track_script {{
    check_script
  }}
}}
"""
# As haproxy-vrrp-check: any answer of the stats socket is well, silence of 5 s is not.
CHECK = """#!/usr/bin/python3 -IS
import socket
with socket.socket(socket.AF_UNIX) as asking:
    asking.settimeout(5)
    asking.connect("{folder}/stats.sock")
    asking.send(b"show stat -1 -1 -1\\n")
    answer = b""
    while data := asking.recv(1024):
        answer += data
raise SystemExit(0 if answer else 1)
"""
HAPROXY = """
global
    maxconn 8000
    stats socket {folder}/stats.sock mode 0666 level user
defaults
    mode http
    retries 3
    option redispatch
    option http-keep-alive
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend web
    bind {vip}:{port}
    default_backend servers
backend servers
    balance roundrobin
    server member {gateway}:{member} check inter 5s fall 3 rise 2
"""
MEMBER_CONFIGURATION = member.configuration(f"{GATEWAY}:{MEMBER}")
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class StockPair(Pair):
    """Call ``close`` at the end."""

    kind = "stock"
    vip = VIP
    url = f"http://{VIP}/"

    def __init__(self) -> None:
        super().__init__()
        self._sandbox = Sandbox()
        self._folder = Path(tempfile.mkdtemp(prefix="ob-"))
        self._log = (self._folder / "log").open("ab")
        self.inside = self._sandbox.init
        self.ip("link add br0 type bridge", f"addr add {GATEWAY}/{PREFIX} dev br0", "link set br0 up")
        (self._folder / "member.cfg").write_text(MEMBER_CONFIGURATION)
        self._sandbox.run("haproxy", "-db", "-f", str(self._folder / "member.cfg"), stderr=self._log)
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, str] = {}
        self._numbers = itertools.count()
        for name in ADDRESSES:
            self._boot(name)

    def _boot(self, name: str) -> None:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _write(name, folder)
        command = [*UNSHARE, sys.executable, "-IS", str(PROGRAM), str(folder)]
        with (folder / "log").open("ab") as log:
            started = self._sandbox.run(*command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        self._started[name] = started
        first = self.amphorae[name] = until(lambda: _first(started.pid), what="the amphora's first process")
        self._ports[name] = port = f"port{next(self._numbers)}"
        self.ip(
            f"link add {port} type veth peer name eth0 address {MACS[name]} netns {first}",
            f"link set {port} master br0 up",
        )
        self.ip("link set lo up", f"addr add {ADDRESSES[name]}/{PREFIX} dev eth0", "link set eth0 up", inside=first)
        nonlocal_bind = ["sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1"]
        subprocess.run(["nsenter", "--target", str(first), "--net", *nonlocal_bind], check=True)
        assert started.stdin
        started.stdin.write(b"the network is there\n")
        started.stdin.flush()

    def link(self, name: str, state: str) -> None:
        self.ip(f"link set {self._ports[name]} {state}")

    def over(self, harmed: str) -> bool:
        """Another has the VIP; or its haproxy was restarted first."""
        moved = bool(self.recorder.owners() - {harmed})
        return moved or bool(set(self.haproxies(harmed)[1]) - set(self.workers[harmed]))

    def restored(self) -> bool:
        """The master preempts: where both work it has the VIP."""
        states = {name: _state((self._folder / name / "log").read_text()) for name in ADDRESSES}
        return (
            states == {"master": "MASTER", "backup": "BACKUP"}
            and self.recorder.owners() == {"master"}
            and all(_answers(self._folder / name / "stats.sock") for name in ADDRESSES)
        )

    def repair(self, harmed: str) -> None:
        """Boot it anew."""
        lose(self, harmed)
        self._started[harmed].wait(10)
        self._boot(harmed)
        self.watch()

    def close(self) -> None:
        self._sandbox.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(name: str, folder: Path) -> None:
    check = folder / "check"
    check.write_text(CHECK.format(folder=folder))
    check.chmod(0o755)
    (peer,) = (address for other, address in ADDRESSES.items() if other != name)
    keepalived = KEEPALIVED.format(
        check=check, state=name.upper(), priority=PRIORITIES[name], address=ADDRESSES[name], peer=peer, vip=VIP
    )
    (folder / "keepalived.conf").write_text(keepalived)
    haproxy = HAPROXY.format(folder=folder, vip=VIP, port=PORT, gateway=GATEWAY, member=MEMBER)
    (folder / "haproxy.cfg").write_text(haproxy)


def _first(pid: int) -> int:
    """The first process of the namespace that was made under this one."""
    return next(
        (one for one in descendants(pid) if str(PROGRAM) in command(one) and command(one)[0] == sys.executable), 0
    )


def _state(log: str) -> str:
    return (re.findall(r"Entering (\w+) STATE", log) or [""])[-1]


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking, contextlib.suppress(OSError):
        asking.connect(str(path))
        return True
    return False
