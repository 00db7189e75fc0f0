# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from octavia_amphora.apply.finishing import in_use, removed
from octavia_amphora.wire.config import Backend, Configuration, Server

SAID = """\
# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[2]
p:l/a 3/1 10.0.0.1 80 - 5000 2 9 3 0 0 -1 0 0 0
p:l/b 3/2 10.0.0.2 80 - 5000 0 9 3 0 4 -1 4 4 0

"""


def backend(name: str, *servers: str, datagrams: bool = False) -> Backend:
    return Backend(name, "p", "", {one: Server(one, "10.0.0.1", 80) for one in servers}, datagrams=datagrams)


def configuration(*backends: Backend) -> Configuration:
    return Configuration("lb", "", {}, {one.name: one for one in backends})


def test_only_connections_in_use_count__idle_ones_do_not() -> None:
    assert list(in_use(SAID)) == ["p:l/a"]
    assert list(in_use("Can't find the target PID matching the prefix '@!12'.\n")) == []


def test_what_is_removed() -> None:
    same = backend("same", "x")
    old = configuration(backend("p:l", "a", "b"), backend("gone", "c"), same, backend("u", "d", datagrams=True))
    new = configuration(backend("p:l", "b", "e"), same)
    assert removed(old, new) == {"p:l/a", "gone/c"}
    assert removed(new, new) == removed(None, new) == removed(old, None) == set()
