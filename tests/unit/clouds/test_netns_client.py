"""What asks the holder, while the holder ends."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from octavia_provider.clouds.netns.client import Client, HolderEnded
from octavia_provider.clouds.netns.cloud import NetnsCloud
from octavia_provider.kit.paths import SOCKET_LENGTH
from octavia_provider.model.errors import Refused


@pytest.fixture(params=["closes", "resets"])
def ending(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A home whose holder takes one connection and ends before it answers."""
    (tmp_path / "cloud").mkdir()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "cloud" / "holder.sock"))
    listening.listen()

    def end() -> None:
        connection, _ = listening.accept()
        if request.param == "closes":
            while connection.recv(1) != b"\n":
                pass
        else:
            connection.recv(1)  # the rest is unread: the one that asked is told of a reset
        listening.close()
        connection.close()

    thread = threading.Thread(target=end)
    thread.start()
    yield tmp_path
    thread.join(20)
    assert not thread.is_alive()


def test_a_question_to_a_holder_that_ends_says_so(ending: Path) -> None:
    with pytest.raises(HolderEnded, match="ended while it was asked"):
        Client(ending, "100.64.0.0/16", ()).ask("hosts")


@pytest.mark.parametrize("ask", ["ended", "lost"])
async def test_who_waits_for_an_end_takes_a_holder_that_ends_while_it_is_asked_as_ended(ending: Path, ask: str) -> None:
    cloud = NetnsCloud(ending)
    if ask == "ended":
        assert [event async for event in cloud.ended()] == []
    else:
        await cloud.lost()


def test_a_home_whose_path_is_too_long_is_refused_by_whoever_looks_first(tmp_path: Path) -> None:
    home = tmp_path / ("h" * SOCKET_LENGTH)
    with pytest.raises(Refused, match=f"longer than {SOCKET_LENGTH} bytes") as refused:
        Client(home, "", ()).hello()
    assert refused.value.hint == "choose a shorter OCTAVIA_HOME"
    assert not home.exists()
