# SPDX-License-Identifier: Apache-2.0
"""Who has a port: the one at this address or at all addresses, nobody else."""

from __future__ import annotations

import os
import socket

import pytest

from octavia_provider.clouds.netns.listening import listener, open_listening
from octavia_provider.model.errors import Refused


def test_only_the_one_at_this_address_is_named() -> None:
    with socket.create_server(("127.0.0.5", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(os.getpid()) in str(listener("127.0.0.5", port))
        assert listener("127.0.0.6", port) is None
        with open_listening("127.0.0.6", port, subject="x"):
            pass
        with pytest.raises(
            Refused, match=f"127.0.0.5:{port} is in use on this machine by .* \\(process {os.getpid()}\\)"
        ):
            open_listening("127.0.0.5", port, subject="x")


def test_who_listens_at_all_addresses_is_in_the_way_of_each() -> None:
    with socket.create_server(("", 0)) as taken:
        assert str(os.getpid()) in str(listener("127.0.0.6", taken.getsockname()[1]))


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_at_all_addresses_of_both_families() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken:
        assert str(os.getpid()) in str(listener("127.0.0.6", taken.getsockname()[1]))
