# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from octavia_amphora.apply.drain import removed_servers, servers_with_sessions
from octavia_amphora.wire.config import Backend, Configuration, Server

SAID = """\
# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,
p:l,a,0,0,2,9,,11,1,2,
p:l,b,0,0,0,9,,11,1,2,

"""


def backend(name: str, *servers: str, datagrams: bool = False) -> Backend:
    return Backend(name, "p", "", {one: Server(one, "10.0.0.1", 80) for one in servers}, datagrams=datagrams)


def configuration(*backends: Backend) -> Configuration:
    return Configuration("lb", "", {}, {one.name: one for one in backends})


def test_servers_with_sessions() -> None:
    assert list(servers_with_sessions(SAID)) == ["p:l/a"]
    assert list(servers_with_sessions("Can't find the target PID matching the prefix '@!12'.\n")) == []


def test_what_is_removed() -> None:
    same = backend("same", "x")
    old = configuration(backend("p:l", "a", "b"), backend("gone", "c"), same, backend("u", "d", datagrams=True))
    new = configuration(backend("p:l", "b", "e"), same)
    assert removed_servers(old, new) == {"p:l/a", "gone/c"}
    assert removed_servers(new, new) == removed_servers(None, new) == removed_servers(old, None) == set()
