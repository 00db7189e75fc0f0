# SPDX-License-Identifier: Apache-2.0
"""A real haproxy that is started, reloaded and found again, behind sockets that refuse for a while."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_amphora.haproxy import global_section, orphans, runtime, startup_errors
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.haproxy.process import Haproxy, HaproxyFailed
from octavia_amphora.haproxy.watchdog import state_of
from octavia_amphora.shortage import OWN_DESCRIPTORS
from octavia_amphora.wire.haproxy_versions import DYNAMIC_COOKIES, RELOAD_ANSWERS, has

BINARY = shutil.which("haproxy") or "haproxy"
LIMIT = "[ALERT]    (7) : [haproxy.main()] FD limit (20000) too low for maxconn=100000/maxsock=200041. Please raise it."
NO_SERVER = "[ALERT]    (9) : backend 'b' has no server available!"
LINES = """\
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend f
    bind unix@{run}/f.sock
    default_backend b
backend b
    server s 127.0.0.1:9
"""
# What a stand-in does before it becomes haproxy; each says READY=1 first, as haproxy's master does before it listens.
REFUSALS = {
    "absent": "time.sleep(0.1)",
    "refused": "listener.bind(master); time.sleep(0.1)",
    "reset": """
        listener.bind(master); listener.listen()
        for _ in range(3):
            one, _ = listener.accept()  # closed with unread words: the peer is told ECONNRESET
            time.sleep(0.01); one.close()
    """,
    "empty": """
        listener.bind(master); listener.listen()
        for _ in range(3):
            one, _ = listener.accept(); one.recv(100); one.close()
    """,
}


class Stand(Haproxy):
    """A haproxy with folders of its own. ``died``: how often it ended unasked."""

    def __init__(self, binary: str, paths: Paths) -> None:
        self.died = 0
        self.paths = paths
        super().__init__(binary, paths, on_death=self._count, on_log=lambda: None)

    def _count(self) -> None:
        self.died += 1

    def write(self, mark: str, more: str = "") -> None:
        """The file that is loaded next."""
        self.paths.create()
        lines = LINES.format(run=self.paths.run) + more
        self.paths.config.write_text(global_section.render(self.paths, mark=mark) + lines)


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Callable[[str], Stand]]:
    """Makes a haproxy, or what is written in Python before it becomes haproxy."""
    folder, made = Path(tempfile.mkdtemp(prefix="oct-", dir="/tmp")), []

    def make(before: str = "") -> Stand:
        binary = Path(BINARY)
        if before:
            binary = folder / "haproxy"
            words = f"""\
                #!{sys.executable}
                import os, socket, sys, time
                def say(word):
                    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                    notify.sendto(word, os.environ["NOTIFY_SOCKET"]); notify.close()
                master = sys.argv[sys.argv.index("-S") + 1].split(",")[0]
                listener = socket.socket(socket.AF_UNIX)
            """
            after = f"listener.close(); os.path.exists(master) and os.unlink(master)\nos.execv({BINARY!r}, [{BINARY!r}, *sys.argv[1:]])\n"
            binary.write_text(textwrap.dedent(words) + textwrap.dedent(before) + "\n" + after)
            binary.chmod(0o755)
        made.append(Stand(str(binary), Paths(folder / "state", folder / "run")))
        return made[-1]

    yield make
    for one in made:
        await one.stop(timeout=0.0)
    shutil.rmtree(folder)


async def until(condition: Callable[[], bool]) -> None:
    """Return when it is so."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("not in 30 s")


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_master_that_refuses_after_it_said_ready_is_asked_again(
    stand: Callable[[str], Stand], refusal: str
) -> None:
    haproxy = stand(f"say(b'READY=1')\n{textwrap.dedent(REFUSALS[refusal])}")
    haproxy.write("one")
    await haproxy.start("one", timeout=30)
    assert haproxy.serving
    assert not haproxy.died


async def test_a_worker_that_refuses_for_a_while_is_asked_again(stand: Callable[[str], Stand]) -> None:
    haproxy = stand("")
    haproxy.write("one")
    await haproxy.start("one", timeout=30)
    stats, away = haproxy.paths.stats_socket, haproxy.paths.run / "away.sock"
    haproxy.write("two")
    stats.rename(away)
    reload = asyncio.ensure_future(haproxy.reload("two", timeout=30))
    await until(lambda: reload.done() or stats.exists() or "stats.sock" in haproxy._last_problem)
    with contextlib.suppress(FileExistsError):  # the new worker has made one of its own
        stats.hardlink_to(away)
    await reload
    assert await runtime.current_worker(stats) == (haproxy.workers[0], "two")


async def test_a_master_that_refuses_is_told_to_reload_again(stand: Callable[[str], Stand]) -> None:
    haproxy = stand("")
    haproxy.write("one")
    await haproxy.start("one", timeout=30)
    master, away = haproxy.paths.master_socket, haproxy.paths.run / "away.sock"
    haproxy.write("two")
    master.rename(away)
    reload = asyncio.ensure_future(haproxy.reload("two", timeout=30))
    await until(lambda: "master.sock" in haproxy._last_problem)
    away.rename(master)
    await reload
    assert (await runtime.current_worker(haproxy.paths.stats_socket))[1] == "two"


async def test_one_that_runs_but_refuses_is_found_by_the_next_agent(stand: Callable[[str], Stand]) -> None:
    first = stand(
        "say(b'READY=1'); listener.bind(master)\nwhile not os.path.exists(sys.argv[0] + '.go'): time.sleep(0.01)"
    )
    first.write("one")
    start = asyncio.ensure_future(first.start("one", timeout=30))
    await until(lambda: "master.sock" in first._last_problem)
    second = stand("")
    adopting = asyncio.ensure_future(second.adopt())
    await asyncio.sleep(0.1)  # it is refused meanwhile
    await asyncio.to_thread(Path(f"{first._binary}.go").touch)
    assert await adopting
    assert second.master == first.master
    second.release()
    first._notices.open()
    await start


async def test_one_that_ends_is_told_with_its_code_and_its_reason(stand: Callable[[str], Stand]) -> None:
    real = "[ALERT]    (7) : Binding [haproxy.cfg:9] for frontend f: cannot bind socket."
    haproxy = stand(f"print({LIMIT!r}); print({real!r}, flush=True); sys.exit(3)")
    haproxy.write("one")
    with pytest.raises(HaproxyFailed) as caught:
        await haproxy.start("one", timeout=30)
    assert str(caught.value) == f"haproxy ended with exit code 3: {real}"


async def test_one_that_is_killed_is_told_so(stand: Callable[[str], Stand]) -> None:
    haproxy = stand(f"print({LIMIT!r}, flush=True); say(b'READY=1'); os.kill(os.getpid(), 9)")
    haproxy.write("one")
    with pytest.raises(HaproxyFailed) as caught:
        await haproxy.start("one", timeout=30)
    assert str(caught.value) == "haproxy ended, killed by SIGKILL"


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("time.sleep(60)", "it has not said READY=1"),
        ("say(b'READY=1'); time.sleep(60)", "master.sock did not answer 'show proc'"),
        ("say(b'READY=1'); listener.bind(master); time.sleep(60)", "master.sock did not answer 'show proc'"),
    ],
)
async def test_one_that_does_not_get_ready_is_told_with_the_time_and_what_is_missing(
    stand: Callable[[str], Stand], before: str, reason: str
) -> None:
    haproxy = stand(f"print({LIMIT!r}); print({NO_SERVER!r}, flush=True); {before}")
    haproxy.write("one")
    for timeout in (0.5, 8.0):  # the second one where a busy machine does not get as far in the first
        with pytest.raises(HaproxyFailed) as caught:
            await haproxy.start("one", timeout=timeout)
        words = str(caught.value)
        if reason in words:
            break
    assert re.match(r"haproxy is not ready after [0-9]\.\d s: ", words)
    assert reason in words
    assert "FD limit" not in words
    assert "no server" not in words


async def test_a_reload_that_fails_says_why_and_leaves_what_serves(stand: Callable[[str], Stand]) -> None:
    haproxy = stand("")
    haproxy.write("one")
    await haproxy.start("one", timeout=30)
    workers = haproxy.workers
    for more in ("    nonsense\n", f"frontend g\n    bind unix@{haproxy.paths.run}/none/g.sock\n"):
        haproxy.write("two", more)
        with pytest.raises(HaproxyFailed) as caught:
            await haproxy.reload("two", timeout=30)
        words = str(caught.value)
        assert words.startswith("haproxy went on with its former configuration: [ALERT]"), words
        assert "nonsense" in words or "g.sock" in words
        assert haproxy.workers == workers
    haproxy.write("three")
    await haproxy.reload("three", timeout=30)
    assert haproxy.workers != workers
    assert (await runtime.current_worker(haproxy.paths.stats_socket))[1] == "three"


async def test_it_starts_with_as_many_connections_as_the_limit_of_open_files_has_room_for(
    stand: Callable[[str], Stand],
) -> None:
    haproxy = stand("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))")
    haproxy.write("one")
    await haproxy.start("one", timeout=30, connections=(2000 - OWN_DESCRIPTORS - 1) // 2)
    assert haproxy.serving


async def test_a_limit_that_ended_it_is_its_reason(stand: Callable[[str], Stand]) -> None:
    fatal = "[ALERT]    (7) : [haproxy.main()] Cannot raise FD limit to 20002, limit is 20000."
    haproxy = stand(f"print({fatal!r}, flush=True); sys.exit(1)")
    haproxy.write("one")
    with pytest.raises(HaproxyFailed) as caught:
        await haproxy.start("one", timeout=30)
    assert str(caught.value) == f"haproxy ended with exit code 1: {fatal}"


async def test_the_haproxy_that_runs_offers_what_the_table_says(stand: Callable[[str], Stand]) -> None:
    haproxy = stand("")
    haproxy.write("one", "    cookie SRV insert indirect nocache\n")
    await haproxy.start("one", timeout=30)
    answer = await runtime.execute(haproxy.paths.stats_socket, "show info")
    assert haproxy.version is not None
    assert f"\nVersion: {haproxy.version}." in answer
    added = await runtime.execute(haproxy.paths.stats_socket, "add server b/x 127.0.0.1:8 cookie x")
    assert added.startswith("New server registered") is has(haproxy.version, DYNAMIC_COOKIES), added
    reloaded = await runtime.execute(haproxy.paths.master_socket, "reload", timeout=30)
    assert reloaded.startswith("Success=1") is has(haproxy.version, RELOAD_ANSWERS), reloaded


def test_alerts_of_other_things_are_no_reasons() -> None:
    text = f"""\
[NOTICE]   (7) : New worker (9) forked
{LIMIT}
{NO_SERVER}
[ALERT]    (7) : config : Fatal errors found in configuration.
[ALERT]    (7) : config : parsing [h.cfg:20] : unknown keyword 'x'
[ALERT]    (8) : of the worker that went on
[ALERT]    (7) : Current worker (9) exited with code 139 (Segmentation fault)
"""
    assert startup_errors.reasons(text, {8}) == (
        "[ALERT]    (7) : config : parsing [h.cfg:20] : unknown keyword 'x'; "
        "[ALERT]    (7) : Current worker (9) exited with code 139 (Segmentation fault)"
    )


def test_after_a_reload_that_failed_the_newest_old_worker_serves() -> None:
    head = (
        "#<PID>  <type>  <reloads>  <uptime>  <version>\n14  master  2 [failed: 1]  0d00h00m00s  3.2.26-1\n# workers\n"
    )
    old = "# old workers\n19  worker  1  0d00h00m00s  3.2.26-1\n12  worker  2  0d00h00m00s  3.2.26-1\n"
    assert runtime.serving_workers(runtime.parse_processes(head + old)) == (19,)
    current = "22  worker  0  0d00h00m00s  3.2.26-1\n"
    assert runtime.serving_workers(runtime.parse_processes(head + current + old)) == (22,)
    assert runtime.serving_workers(runtime.parse_processes(head)) == ()


CHILD = """
import ctypes, os, pathlib, signal, sys
said = pathlib.Path(sys.argv[1])
if os.fork():
    signal.pause()
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, as keepalived's child has it
signal.signal(signal.SIGTERM, lambda *_: said.with_name("heard").touch())
said.write_text(str(os.getpid()))
while True:
    signal.pause()
"""


def test_who_is_ended_with_its_parent_does_not_learn_of_that_first(tmp_path: Path) -> None:
    """keepalived's child would take off the addresses, which are to stay."""
    said = tmp_path / "said"
    with subprocess.Popen([sys.executable, "-c", CHILD, str(said)]) as parent:
        while not (said.exists() and said.read_text()):
            time.sleep(0.005)
        child = int(said.read_text())

        def one_by_one() -> Iterator[int]:
            yield parent.pid
            while (state := state_of(parent.pid)) not in ("T", "Z"):
                time.sleep(0.005)
            while state == "Z" and not (tmp_path / "heard").exists():
                time.sleep(0.005)
            yield child

        orphans.kill(one_by_one())
    assert not (tmp_path / "heard").exists()
