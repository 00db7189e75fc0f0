# SPDX-License-Identifier: Apache-2.0
"""Keys of stick tables, as haproxy shows them and as it takes them."""

from __future__ import annotations

import pytest

from octavia_amphora.haproxy import stick_tables
from octavia_amphora.wire.config import Backend, Configuration


@pytest.mark.parametrize(
    ("shown", "taken"),
    [
        ("plain", "plain"),
        ("::ffff:127.0.0.1", r"\:\:ffff\:127\.0\.0\.1"),
        (r"x\\y\=z", r"x\\y\=z"),
        (r"a\ b;c", r"a\ b\;c"),  # neither another word nor another command
        ("<<", r"\<\<"),  # no payload begins
        (r"tab\t", None),
        (r"\xC3\xA4", None),
        ("", None),
    ],
)
def test_a_key_can_end_neither_its_word_nor_its_command(shown: str, taken: str | None) -> None:
    assert stick_tables.escape_key(shown) == taken


def test_entries_are_read__those_of_unknown_servers_left_out__no_more_than_there_is_room_for() -> None:
    text = (
        "# table: b, type: string, size:10240, used:3\n"
        r"0x55: key=a\ use\=1 use=0 exp=0 server_id=1 server_key=m1" + "\n"
        "0x56: key=plain use=0 exp=0 shard=0 server_id=2 server_key=-\n"
        "0x57: key=gone use=0 exp=0 server_id=9 server_key=m9\n\n"
    )
    names = {("b", 1): "m1", ("b", 2): "m2"}
    assert dict(stick_tables._entries(text, "b", names, 5)) == {r"a\ use\=1": "m1", "plain": "m2"}
    assert dict(stick_tables._entries(text, "b", names, 1)) == {r"a\ use\=1": "m1"}


def test_a_table_is_known_by_its_line() -> None:
    backends = {
        "a": Backend("a", "p", "    balance roundrobin\n    stick-table type ipv6 size 10k\n"),
        "b": Backend("b", "p", "    balance roundrobin\n"),
    }
    assert stick_tables.declared_tables(Configuration("lb", "", {}, backends)) == {"a": "ipv6"}
