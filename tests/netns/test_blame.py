# SPDX-License-Identifier: Apache-2.0
"""One bad object among many: it alone ends in ERROR, with the reason; correcting it heals it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from octavia_provider.kit import paths
from octavia_provider.ports import Record, Transaction
from octavia_provider.store import open_store

from .installation import Installation, Load, Stack, ask, make_stack, shares, until

GOOD = 49
MONITOR = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}

# Takes an address and port, says so, and lets go when its standard input ends.
TAKE = """
import socket, sys
taken = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("taken", flush=True)
sys.stdin.read()
"""


def write(site: Installation, work: Callable[[Transaction], None]) -> None:
    """Write to the store past the API and its rules, as nobody should."""

    async def run() -> None:
        store = open_store(f"sqlite:///{paths.database(site.home)}", paths.key_file(site.home))
        try:
            await store.write(work)
        finally:
            await store.close()

    asyncio.run(run())


def twin(record: Record, **changes: Any) -> Record:
    """A new object like another one."""
    return dataclasses.replace(
        record, id=str(uuid.uuid4()), spec={**record.spec, **changes}, accepted=None, owner=None, error=None
    )


def create_many(stack: Stack, values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Listeners, all at once; how each ended."""

    def create(one: dict[str, Any]) -> dict[str, Any]:
        return stack.site.create("listener", loadbalancer_id=stack.load_balancer["id"], protocol="HTTP", **one)

    with ThreadPoolExecutor(len(values)) as pool:
        return list(pool.map(create, values))


def statuses(stack: Stack) -> Counter[str]:
    found = stack.site.get_json("/v2/lbaas/listeners?limit=1000")["listeners"]
    return Counter(one["provisioning_status"] for one in found if one["id"] != stack.listener["id"])


def settled(stack: Stack) -> bool:
    return set(statuses(stack)) <= {"ACTIVE", "ERROR"}


def test_a_listener_that_haproxy_refuses_among_fifty__it_alone_is_in_error(site: Installation) -> None:
    stack = make_stack(site, members=1)
    site.kill()
    bad = str(uuid.uuid4())

    def fifty(tx: Transaction) -> None:
        like = tx.get("listener", stack.listener["id"])
        assert like is not None
        for number in range(GOOD + 1):
            made = twin(like, protocol_port=21_000 + number, name=f"l{number}", default_pool_id=stack.pool["id"])
            if number == 23:
                limit = {"requests": 5, "period_seconds": "soon", "by": "SOURCE_IP"}
                made = dataclasses.replace(made, id=bad, spec={**made.spec, "rate_limit": limit})
            tx.insert(made)

    write(site, fifty)
    with Load(stack.url) as load:
        site.start()
        until(lambda: settled(stack), what="fifty listeners to be settled")
        load.more(100)
    assert not load.failures
    assert statuses(stack) == {"ACTIVE": GOOD, "ERROR": 1}
    error = site.get("listener", bad)["provisioning_error"]
    assert "unexpected character 's' in argument of 'expire'" in error
    assert ask(stack.url.replace(":80", ":21042"))[0] == 200

    stack.change("listener", stack.listener["id"], timeout_client_data=40_000)
    assert statuses(stack) == {"ACTIVE": GOOD, "ERROR": 1}

    healed = site.update("listener", bad, rate_limit=None)
    assert (healed["provisioning_status"], healed["provisioning_error"]) == ("ACTIVE", None)
    assert ask(healed["url"])[0] == 200


def test_a_monitor_that_is_changed_to_what_haproxy_refuses__its_former_form_stays_in_force(site: Installation) -> None:
    stack = make_stack(site, members=2, monitor=MONITOR)

    def spoil(tx: Transaction) -> None:
        record = tx.get("health_monitor", stack.monitor["id"])
        assert record is not None
        tx.update(record.id, {**record.spec, "expected_codes": "abc"})

    with Load(stack.url) as load:
        write(site, spoil)
        stack.change_member("m1", weight=2)  # wakes the control plane, which takes both up in one push
        spoilt = site.get("health_monitor", stack.monitor["id"])
        load.more(100)
    assert not load.failures
    assert spoilt["provisioning_status"] == "ERROR"
    assert "invalid character 'a' in the list of status codes" in spoilt["provisioning_error"]
    assert "check inter 1s" in stack.configuration()

    stack.tell("m2", "deaf")
    until(lambda: stack.member("m2")["operating_status"] == "ERROR", what="the former monitor to find that m2 is down")

    healed = site.update("health_monitor", stack.monitor["id"], expected_codes="200-299")
    assert healed["provisioning_status"] == "ACTIVE", healed
    assert "http-check expect status 200-299" in stack.configuration()


def test_a_member_that_haproxy_refuses_among_fifty__it_alone_is_in_error(site: Installation) -> None:
    stack = make_stack(site, members=1)
    bad = str(uuid.uuid4())

    def fifty(tx: Transaction) -> None:
        like = tx.get("member", stack.members[0]["id"])
        assert like is not None
        for number in range(GOOD + 1):
            made = twin(like, protocol_port=1000 + number, name=f"n{number}", weight=0)
            tx.insert(made if number != 31 else dataclasses.replace(made, id=bad, spec={**made.spec, "weight": 999}))

    with Load(stack.url) as load:
        write(site, fifty)
        stack.change_member("m1", weight=2)
        load.more(100)
    assert not load.failures
    members = site.get_json(f"/v2/lbaas/pools/{stack.pool['id']}/members?limit=1000")["members"]
    assert [one["id"] for one in members if one["provisioning_status"] == "ERROR"] == [bad]
    assert Counter(one["provisioning_status"] for one in members) == {"ACTIVE": GOOD + 1, "ERROR": 1}
    assert "999" in site.get("member", bad, parent=stack.pool["id"])["provisioning_error"]

    workers = site.workers()
    healed = site.update("member", bad, parent=stack.pool["id"], weight=0)
    assert healed["provisioning_status"] == "ACTIVE", healed
    assert site.workers() == workers


@contextlib.contextmanager
def taken_in_amphora(site: Installation, address: str, port: int) -> Iterator[None]:
    """Another process listens there, inside the amphora's namespaces."""
    enter = ["nsenter", "--target", str(site.agent()), "--net", "--mount", "--pid"]
    process = subprocess.Popen(
        [*enter, "python3", "-c", TAKE, address, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == b"taken\n"
        yield
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def one_of_fifty_is_in_error(stack: Stack, port: int) -> dict[str, Any]:
    """Fifty listeners at once under load, of which that with this port cannot be; answers it."""
    ports = [port, *(20_000 + number for number in range(GOOD))]
    with Load(stack.url) as load:
        made = create_many(stack, [{"protocol_port": each, "default_pool_id": stack.pool["id"]} for each in ports])
        load.more(100)
    assert not load.failures
    errors = {one["protocol_port"]: one["provisioning_error"] for one in made if one["provisioning_status"] != "ACTIVE"}
    assert errors.keys() == {port}, errors
    bad = made[0]
    stack.change("listener", made[1]["id"], timeout_client_data=40_000)
    assert stack.site.get("listener", bad["id"])["provisioning_status"] == "ERROR"
    assert sum(shares(made[-1]["url"], 10).values()) == 10
    return bad


def heals(stack: Stack, bad: dict[str, Any]) -> None:
    healed = stack.site.update("listener", bad["id"], name="tried again")
    assert (healed["provisioning_status"], healed["provisioning_error"]) == ("ACTIVE", None)
    assert ask(healed["url"])[0] == 200


def test_a_port_taken_on_the_loopback_address__names_it__and_heals_when_it_is_free(site: Installation) -> None:
    stack = make_stack(site, members=1)
    address = stack.url.removeprefix("http://").rpartition(":")[0]
    with socket.create_server((address, 19_999)):
        bad = one_of_fifty_is_in_error(stack, 19_999)
        assert f"{address}:19999" in bad["provisioning_error"]
    heals(stack, bad)


def test_a_port_taken_in_the_amphora__names_it__and_heals_when_it_is_free(site: Installation) -> None:
    stack = make_stack(site, members=1)
    vip = stack.load_balancer["vip_address"]
    with taken_in_amphora(site, vip, 19_999):
        bad = one_of_fifty_is_in_error(stack, 19_999)
        assert f"{vip}:19999" in bad["provisioning_error"]
    heals(stack, bad)
