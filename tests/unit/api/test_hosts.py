# SPDX-License-Identifier: Apache-2.0
"""A host's environment may hold passwords: it is encrypted in the store and shown to nobody."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from unit.api import settling
from unit.api.settling import Plane

SECRETS = {"PASSWORD": "hush hush", "TOKEN": "t0psecret"}


def database(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("octavia.db*")))


async def host(plane: Plane, **values: Any) -> dict[str, Any]:
    network = await plane.make("local_network", name="net")
    return await plane.make("local_host", name="one", network_id=network["id"], command=["true"], **values)


async def environment(plane: Plane) -> list[Any]:
    (record,) = [record for record in await plane.records() if record.kind == "local_host"]
    assert record.accepted is not None
    return [record.spec["environment"], record.accepted["environment"]]


@pytest.mark.covers("local_host.environment")
async def test_an_environment_is_encrypted_and_never_shown(plane: Plane, tmp_path: Path) -> None:
    made = await host(plane, environment=SECRETS)
    url = f"/local/hosts/{made['id']}"
    shown = [made, (await plane.call("GET", url)).body, (await plane.call("GET", "/local/hosts")).body]
    changed = await plane.call("PUT", url, {"host": {"command": ["false"]}}, wait=10)
    text = json.dumps([*shown, changed.body])
    assert "hush" not in text
    assert "environment" not in text
    assert await environment(plane) == [SECRETS, SECRETS]
    assert not any(secret in database(tmp_path) for secret in (b"hush", b"t0psecret", b"PASSWORD"))
    other = {"PASSWORD": "changed"}
    await plane.call("PUT", url, {"host": {"environment": other}}, wait=10)
    assert await environment(plane) == [other, other]
    assert b"changed" not in database(tmp_path)
    await plane.call("PUT", url, {"host": {"environment": None}}, wait=10)
    assert await environment(plane) == [{}, {}]


async def test_what_older_code_wrote_is_read_and_then_encrypted(tmp_path: Path) -> None:
    async with settling.plane(tmp_path) as plane:
        made = await host(plane, environment={})
    with sqlite3.connect(tmp_path / "octavia.db") as file:
        for column in ("spec", "accepted"):
            (text,) = file.execute(f"SELECT {column} FROM objects WHERE id = ?", (made["id"],)).fetchone()
            old = json.dumps({**json.loads(text), "environment": SECRETS})
            file.execute(f"UPDATE objects SET {column} = ? WHERE id = ?", (old, made["id"]))
    file.close()
    assert b"hush" in database(tmp_path)
    async with settling.plane(tmp_path) as plane:
        assert await environment(plane) == [SECRETS, SECRETS]
        again = await plane.call("PUT", f"/local/hosts/{made['id']}", {"host": {"environment": SECRETS}}, wait=10)
        assert again.body["host"]["updated_at"] == made["updated_at"]  # nothing is new
    assert not any(secret in database(tmp_path) for secret in (b"hush", b"t0psecret"))
