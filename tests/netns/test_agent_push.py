# SPDX-License-Identifier: Apache-2.0
"""The real agent and the real haproxy: pushes, what changes at run time, what is refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from octavia_amphora.haproxy import runtime
from octavia_amphora.haproxy.paths import METRICS_SOCKET
from octavia_amphora.wire import haproxy_versions
from octavia_amphora.wire.config import Bind, Configuration, Frontend, Server, compose
from octavia_amphora.wire.messages import Push, VersionStamp
from octavia_provider.agents import AgentClient
from octavia_provider.model.errors import Refused
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import AgentRefused

from .agents import BACKEND, CHECK, LISTENER, Amphora, Load, frontend, server, serving
from .sandbox import Sandbox, until

pytestmark = pytest.mark.netns

A, B, C = (server(port, options=CHECK) for port in (8001, 8002, 8003))


async def test_the_first_push_serves(amphora: Amphora) -> None:
    new = amphora.configuration(A, B)
    applied = await amphora.push(new)
    assert applied.outcome == "start"
    assert Counter(await amphora.bodies(10)) == {"8001": 5, "8002": 5}
    standing = await amphora.client.standing(amphora.host, amphora.load_balancer_id)
    assert standing
    assert standing.serving
    assert standing.workers == applied.workers
    assert (await amphora.push(new, revision=amphora.revision)).outcome == "unchanged"
    assert (await amphora.client.info(amphora.host)).load_balancers == (amphora.load_balancer_id,)


async def test_members_change_at_run_time_without_a_failed_request(amphora: Amphora) -> None:
    old = amphora.configuration(A, B)
    workers = (await amphora.push(old)).workers
    load = Load(amphora)
    for servers in (
        (A, B, C),
        (A, B, msgspec.structs.replace(C, weight=5)),
        (A, msgspec.structs.replace(B, admin="maint"), C),
        (A, msgspec.structs.replace(B, weight=0), C),
        (A, C),
        (A, msgspec.structs.replace(C, port=8002)),
        (C,),
    ):
        new = amphora.configuration(*servers)
        applied = await amphora.push_delta(old, new)
        assert (applied.outcome, applied.workers) == ("runtime", workers)
        old = new
    await load.stop()
    assert set(await amphora.bodies(4)) == {"8003"}
    text = next((amphora.directory / "state").glob("*/haproxy.cfg")).read_text()
    assert text.endswith(compose(old))


async def test_weights_are_respected_at_once(amphora: Amphora) -> None:
    await amphora.push(amphora.configuration(A, B))
    three = msgspec.structs.replace(B, weight=3)
    assert (await amphora.push(amphora.configuration(A, three))).outcome == "runtime"
    assert Counter(await amphora.bodies(40)) == {"8001": 10, "8002": 30}


async def test_a_new_member_is_up_at_once_and_down_when_its_check_fails(amphora: Amphora) -> None:
    await amphora.push(amphora.configuration(A))
    dead = server(8009, options=CHECK)
    await amphora.push(amphora.configuration(A, B, dead))
    assert "8002" in await amphora.bodies(4)
    await until(lambda: is_state(amphora, dead, "down"))
    assert await amphora.state_of(B) == "up"


async def test_a_reload_sends_nothing_to_a_dead_member(amphora: Amphora) -> None:
    # One that was down is up after a thousand checks, a hundred seconds: no reload takes as long. One that nothing is known of is up at once.
    slow = [server(port, options="check inter 2s fastinter 100 fall 2 rise 1000") for port in (8001, 8002)]
    await amphora.push(amphora.configuration(*slow))
    amphora.tell_members("stop 8002")
    await until(lambda: is_state(amphora, slow[1], "down"))
    amphora.tell_members("start 8002")
    text = "    http-response set-header X-Reload 1\n"
    applied = await amphora.push(amphora.configuration(*slow, frontends=(frontend(text=text),)))
    assert applied.outcome == "reload"
    assert await amphora.state_of(slow[1]) == "down"


async def test_weights_of_the_configuration_win_over_the_saved_states(amphora: Amphora) -> None:
    await amphora.push(amphora.configuration(A, B))
    await amphora.push(amphora.configuration(A, msgspec.structs.replace(B, weight=9)))
    changed = frontend(text="    http-response set-header X-Reload 1\n")
    assert (await amphora.push(amphora.configuration(A, B, frontends=(changed,)))).outcome == "reload"
    assert Counter(await amphora.bodies(20)) == {"8001": 10, "8002": 10}


async def test_what_is_disabled_and_enabled_over_reloads(amphora: Amphora) -> None:
    await amphora.push(amphora.configuration(A, msgspec.structs.replace(B, admin="maint")))
    changed = frontend(text="    http-response set-header X-Reload 1\n")
    await amphora.push(amphora.configuration(A, B, frontends=(changed,)))
    assert Counter(await amphora.bodies(10)) == {"8001": 5, "8002": 5}
    await amphora.push(amphora.configuration(A, msgspec.structs.replace(B, admin="maint")))
    assert set(await amphora.bodies(4)) == {"8001"}
    assert await amphora.state_of(B) == "maint"
    assert (await amphora.push(amphora.configuration(A, B))).outcome == "runtime"
    assert Counter(await amphora.bodies(10)) == {"8001": 5, "8002": 5}


async def test_a_taken_port_is_refused_and_nothing_else_is_meanwhile(amphora: Amphora) -> None:
    await amphora.push(amphora.configuration(A, B))
    load = Load(amphora)
    other = "33333333-3333-4333-8333-333333333333"
    body = f"    mode http\n    bind 127.0.0.1:8003\n    default_backend {BACKEND}\n"
    taken = Frontend(other, body, (Bind("127.0.0.1", 8003),))
    absent = Frontend(other, body.replace("127.0.0.1:8003", "10.9.9.9:80"), (Bind("10.9.9.9", 80),))
    for bad in (taken, absent):
        with pytest.raises(AgentRefused) as caught:
            await amphora.push(amphora.configuration(A, B, frontends=(frontend(), bad)))
        refusal = caught.value.refusal
        assert refusal.kind == "bind"
        assert [one.proxy for one in refusal.complaints] == [other]
    await load.stop()
    # Its own ports are not taken.
    assert (await amphora.push(amphora.configuration(A, B, frontends=(frontend(), frontend(8081, name=other))))).workers
    assert (await amphora.get(port=8081))[0] == 200


async def test_a_bad_line_is_refused_with_its_place(amphora: Amphora) -> None:
    good = amphora.configuration(A, B)
    await amphora.push(good)
    bad = amphora.configuration(
        msgspec.structs.replace(A, options="check bogus"), B, frontends=(frontend(text="    nonsense 1\n"),)
    )
    with pytest.raises(AgentRefused) as caught:
        await amphora.push(bad)
    refusal = caught.value.refusal
    assert refusal.kind == "refused"
    lines = compose(bad).splitlines()
    found = {(one.proxy, one.server, lines[(one.line or 0) - 1].split()[0]) for one in refusal.complaints}
    assert found == {(LISTENER, "", "nonsense"), (BACKEND, A.name, "server")}
    assert (await amphora.get())[0] == 200
    # Deltas go on from what is in force.
    assert (await amphora.push_delta(good, amphora.configuration(A, B, C))).outcome == "runtime"


async def test_stale_conflict_and_base(amphora: Amphora) -> None:
    first, second = amphora.configuration(A), amphora.configuration(A, B)
    await amphora.push(first)
    await amphora.push(second)
    for revision, new, kind in ((1, first, "stale"), (2, first, "conflict")):
        with pytest.raises(AgentRefused) as caught:
            await amphora.push(new, revision=revision)
        assert caught.value.refusal.kind == kind
    with pytest.raises(AgentRefused) as caught:
        await amphora.push_delta(first, amphora.configuration(A, C))
    assert caught.value.refusal.kind == "base"
    assert set(await amphora.bodies(4)) == {"8001", "8002"}


async def test_bad_requests_are_told_in_words(amphora: Amphora) -> None:
    new = amphora.configuration(A)
    wrong = VersionStamp(0, 1, 1, 1, "0" * 64)
    for id_, push in (
        (amphora.load_balancer_id, Push(wrong, full=new)),
        (amphora.load_balancer_id, Push(wrong)),
        ("..%2F..", Push(wrong, full=new)),
    ):
        with pytest.raises(AgentRefused) as caught:
            await amphora.client.push(amphora.host, id_, push)
        assert caught.value.refusal.kind == "bad_request"
    assert await amphora.client.standing(amphora.host, amphora.load_balancer_id) is None


async def test_a_removed_balancer_stays_removed(amphora: Amphora) -> None:
    new = amphora.configuration(A)
    await amphora.push(new)
    gone = amphora.stamp(new)
    await amphora.client.remove(amphora.host, amphora.load_balancer_id, gone)
    await amphora.client.remove(amphora.host, amphora.load_balancer_id, gone)
    with pytest.raises(ConnectionRefusedError):
        await amphora.get()
    assert await amphora.client.standing(amphora.host, amphora.load_balancer_id) is None
    with pytest.raises(AgentRefused, match="older"):
        await amphora.push(new, revision=1)
    assert [path.name for path in (amphora.directory / "state").glob("*-*/*")] == ["newest.json"]
    assert amphora.running() == [METRICS_SOCKET]  # which is the agent's, not the balancer's
    assert (await amphora.push(new)).outcome == "start"


async def test_only_this_control_plane_is_listened_to(amphora: Amphora) -> None:
    impostor = CertificateAuthority(amphora.authority.state, "another")
    client = AgentClient(amphora.sandbox, impostor)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="does not accept this control plane"):
        await client.info(amphora.host)
    await client.close()


async def is_state(amphora: Amphora, one: object, state: str) -> bool:
    return await amphora.state_of(one) == state  # type: ignore[arg-type]


async def test_connections_to_a_member_added_at_run_time_are_used_again(amphora: Amphora) -> None:
    workers = (await amphora.push(amphora.configuration())).workers
    assert (await amphora.push(amphora.configuration(A))).workers == workers
    reader, writer = await amphora.connect()

    async def ask() -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(4)

    assert {await ask() for _ in range(20)} == {b"8001"}
    assert await made_and_reused(amphora, A.name) == (1, 19)
    # Those that wait for the next request lead to the old address: they are not used when it changes.
    moved = msgspec.structs.replace(A, port=8002)
    assert (await amphora.push(amphora.configuration(moved))).workers == workers
    assert {await ask() for _ in range(5)} == {b"8002"}
    writer.close()


async def made_and_reused(amphora: Amphora, name: str) -> tuple[int, int]:
    """How many connections haproxy has made to a server, and how often it has used one again."""
    path = Path(amphora.run_directory.name, amphora.load_balancer_id, "stats.sock")
    head, *lines = (await runtime.execute(path, "show stat -1 4 -1")).removeprefix("# ").splitlines()
    rows = [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines if line]
    row = next(row for row in rows if row["svname"] == name)
    return int(row["connect"]), int(row["reuse"])


@pytest.fixture
async def patient(walls: Sandbox, tmp_path: Path) -> AsyncIterator[Amphora]:
    """An agent that waits longer than this test lasts."""
    async for made in serving(walls, tmp_path, finish=600.0):
        yield made


@pytest.mark.parametrize("mode", ["http", "tcp"])
@pytest.mark.parametrize("dynamic", [True, False], ids=["at run time", "by a reload"])
async def test_a_push_waits_for_what_a_removed_server_is_answering(patient: Amphora, dynamic: bool, mode: str) -> None:
    """Whoever removed it may stop it next, and the request would be lost. (Not for ever: see ``test_agent_life``.)"""

    def configuration(*servers: Server) -> Configuration:
        return patient.configuration(*servers, dynamic=dynamic, mode=mode)

    await patient.push(configuration(A, B))
    held, rest = await patient.hold()
    other = B if held == A.port else A
    pushing = asyncio.ensure_future(patient.push(configuration(other)))
    await until(lambda: is_alone(patient, other))
    assert await patient.client.standing(patient.host, patient.load_balancer_id)  # the agent has done its part
    assert set(await patient.bodies(50)) == {str(other.port)}
    assert not pushing.done()
    assert (await patient.get("/release", port=held, address="127.0.0.1"))[0] == 200
    assert await rest() == str(held) * 2
    assert (await pushing).outcome == ("runtime" if dynamic else "reload")


async def is_alone(amphora: Amphora, one: Server) -> bool:
    return set(await amphora.bodies(2)) == {str(one.port)}


async def test_members_with_cookies_come_and_go_at_run_time_where_haproxy_can(amphora: Amphora) -> None:
    """And where it cannot, by a reload; their clients stay with them either way."""
    version = haproxy_versions.parse((await amphora.client.info(amphora.host)).haproxy)
    outcome = "runtime" if haproxy_versions.has(version, haproxy_versions.DYNAMIC_COOKIES) else "reload"
    a, b, c = (msgspec.structs.replace(one, options=f"{CHECK} cookie {one.name}") for one in (A, B, C))

    def configuration(*servers: Server) -> Configuration:
        plain = amphora.configuration(*servers, dynamic=False)
        backend = plain.backends[BACKEND]
        text = f"{backend.text}    cookie SRV insert indirect nocache\n"
        return msgspec.structs.replace(plain, backends={BACKEND: msgspec.structs.replace(backend, text=text)})

    async def kept(one: Server) -> set[str]:
        return {(await amphora.get(cookie=f"SRV={one.name}"))[1] for _ in range(5)}

    await amphora.push(configuration(a))
    for servers in ((a, b), (a, b, c), (b, c), (b, c, a)):
        assert (await amphora.push(configuration(*servers))).outcome == outcome
        for one in servers:
            assert await kept(one) == {str(one.port)}
    text = next((amphora.directory / "state").glob("*/haproxy.cfg")).read_text()
    assert text.endswith(compose(configuration(b, c, a)))
