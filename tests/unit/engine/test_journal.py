# SPDX-License-Identifier: Apache-2.0
"""The ledger and its journal: what is read again is what was written, whatever is cut off."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from octavia_engine import journal
from octavia_engine.journal import Journal
from octavia_engine.snapshot import Snapshot

BASE: dict[str, Any] = {"resources": [{"urn": "a"}, {"urn": "b", "dependencies": ["a"]}]}


async def test_what_was_synced_is_read_and_what_was_cut_off_is_not(tmp_path: Path) -> None:
    path = tmp_path / "j" / "dev.jsonl"
    made = Journal(path, "base")
    made.append({"do": "put", "key": 2, "state": {"urn": "a", "new": 1}, "of": 0})
    await made.sync()
    made.append({"do": "drop", "key": 1}, {"do": "settle", "key": 9})
    await made.sync()
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    found = journal.read(path)
    assert found is not None
    assert found.base == "base"
    assert found.fold_into(BASE).resources() == [{"urn": "a", "new": 1}, BASE["resources"][1]]
    path.write_bytes(whole)
    found = journal.read(path)
    assert found is not None
    assert found.fold_into(BASE).resources() == [{"urn": "a", "new": 1}]
    made.close(remove=True)
    assert not path.exists()


async def test_those_who_wait_together_share_a_sync(tmp_path: Path) -> None:
    made = Journal(tmp_path / "dev.jsonl", "")
    writes = 0
    write = made._write

    def counting(data: bytes) -> None:
        nonlocal writes
        writes += 1
        write(data)

    made._write = counting  # type: ignore[method-assign]

    async def one(key: int) -> None:
        made.append({"do": "begin", "key": key, "type": "creating", "state": {}})
        await made.sync()

    await asyncio.gather(*map(one, range(100)))
    made.close(remove=False)
    assert writes <= 3
    found = journal.read(made.path)
    assert found is not None
    assert len(found.fold_into({}).operations()) == 100


def test_there_is_no_journal_or_nothing_in_it(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "none") is None
    (tmp_path / "torn").write_bytes(b'{"journal":1,"ba')
    assert journal.read(tmp_path / "torn") is None


def test_a_renamed_resource_is_found_under_its_new_name_by_those_not_yet_visited() -> None:
    deployment = {
        "resources": [
            {"urn": "p"},
            {"urn": "x", "parent": "p", "deletedWith": "p", "provider": "p::1", "dependencies": ["p"]},
            {"urn": "y", "propertyDependencies": {"k": ["p", "x"]}},
        ]
    }
    snapshot = Snapshot(deployment)
    snapshot.apply({"do": "rename", "urn": "p", "to": "q"})
    renamed = {"urn": "x", "parent": "q", "deletedWith": "q", "provider": "q::1", "dependencies": ["q"]}
    assert snapshot.resources() == [{"urn": "q"}, renamed, {"urn": "y", "propertyDependencies": {"k": ["q", "x"]}}]


CHANGES = st.lists(
    st.one_of(
        st.builds(lambda k, n: {"do": "put", "key": k, "state": {"urn": str(n)}}, st.integers(0, 6), st.integers(0, 9)),
        st.builds(lambda k: {"do": "drop", "key": k}, st.integers(0, 6)),
        st.builds(lambda k: {"do": "begin", "key": k, "type": "creating", "state": {"urn": str(k)}}, st.integers(7, 9)),
        st.builds(lambda k: {"do": "settle", "key": k}, st.integers(7, 9)),
    ),
    max_size=20,
)


@given(CHANGES, st.integers(0, 20))
def test_a_journal_read_again_gives_the_ledger_that_was(changes: list[dict[str, Any]], cut: int) -> None:
    live = Snapshot(BASE)
    for change in changes[:cut]:
        live.apply(change)
    again = journal.JournalContents("", changes[:cut]).fold_into(BASE)
    assert (again.resources(), again.operations()) == (live.resources(), live.operations())
    assert again.take_key() == live.take_key()
