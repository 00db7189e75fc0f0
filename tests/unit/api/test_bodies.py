# SPDX-License-Identifier: Apache-2.0
"""Bodies of every make: whatever a client sends is answered, never with 500, shortly, and while others are answered too."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from typing import Any

import pytest

from octavia_provider.api import objects, requests
from unit.api.settling import BASE, Plane

HUGE = "1" + "0" * 400
URL = "/lbaas/loadbalancers"


async def post(plane: Plane, body: bytes, path: str = URL, method: str = "POST", **headers: str) -> tuple[int, str]:
    sent = {
        "Content-Type": "application/json",
        "Connection": "close",
        **{n.replace("_", "-"): v for n, v in headers.items()},
    }
    async with plane.session.request(method, f"{BASE}{path}", data=body, headers=sent) as answer:
        return answer.status, await answer.text()


def fault(text: str) -> str:
    found = json.loads(text)
    assert found["faultcode"] == "Client"
    return str(found["faultstring"])


BODIES: dict[str, bytes] = {
    "nothing": b"", "no JSON": b"{", "a list": b"[]", "a number": b"7", "null": b"null", "text": b'"x"', "another word": b'{"x": {}}',
    "no object": b'{"loadbalancer": []}', "bytes that are no UTF-8": b'{"loadbalancer": {"name": "\xff"}}', "UTF-16": '{"loadbalancer": {}}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"loadbalancer": {}}', "half a character": rb'{"loadbalancer": {"name": "\ud800"}}', "NUL": b'{"loadbalancer": {"name": "a\x00b"}}',
    "NUL, written out": rb'{"loadbalancer": {"name": "\u0000"}}', "NaN": b'{"loadbalancer": {"name": NaN}}', "infinity": b'{"loadbalancer": {"name": 1e999}}',
    "deep lists": b"[" * 100_000, "deep objects": b'{"loadbalancer": ' + b'{"a":' * 100_000, "deep and whole": b'{"loadbalancer": {"name": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "a comment": b'{"loadbalancer": {}} // x', "two": b"{} {}", "a trailing comma": b'{"loadbalancer": {},}',
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
async def test_what_is_no_request_is_400(plane: Plane, name: str) -> None:
    status, text = await post(plane, BODIES[name])
    assert status == 400, text
    assert len(fault(text)) < 1000


NUMBERS = (
    HUGE,
    f"-{HUGE}",
    "9" * 5000,
    "9223372036854775808",
    "1e400",
    "-1e400",
    "1e308",
    "0.5",
    "1e18",
    f'"{HUGE}"',
    '"9223372036854775808"',
    '"1e3"',
    '"٣"',
)
WHERE = {
    "listener": "protocol_port", "pool": "protocol", "health_monitor": "delay", "l7_policy": "position", "local_host": "forward_port", "tls_container": "name",
}  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS, ids=lambda text: text[:24])
async def test_numbers_without_measure_are_400(plane: Plane, number: str) -> None:
    paths = {"listener": "/lbaas/listeners", "pool": "/lbaas/pools", "health_monitor": "/lbaas/healthmonitors", "l7_policy": "/lbaas/l7policies", "local_host": "/local/hosts", "tls_container": "/octavia/tls-containers"}  # fmt: skip
    words = {"health_monitor": "healthmonitor", "l7_policy": "l7policy", "local_host": "host"}
    for kind, name in WHERE.items():
        status, text = await post(plane, f'{{"{words.get(kind, kind)}": {{"{name}": {number}}}}}'.encode(), paths[kind])
        assert status == 400, (kind, text)
        assert "0" * 201 not in text
    balancer = await plane.balancer()
    web = await plane.make("listener", loadbalancer_id=balancer["id"], protocol="HTTP", protocol_port=80)
    for name in ("protocol_port", "timeout_client_data", "hsts_max_age"):
        status, text = await post(
            plane, f'{{"listener": {{"{name}": {number}}}}}'.encode(), f"/lbaas/listeners/{web['id']}", "PUT"
        )
        assert status == 400, text
    status, text = await post(plane, f'{{"quota": {{"listener": {number}}}}}'.encode(), "/lbaas/quotas/demo", "PUT")
    assert status == 400, text


@pytest.mark.parametrize(("number", "limit"), [("1e400", "at most 2073600"), ("-1e400", "at least 1"), ("1e30", "at most 2073600"), ("9" * 5000, "at most 2073600"), ("5000000000", "at most 2073600")])  # fmt: skip
async def test_a_number_without_measure_hides_nothing_and_is_told_the_attributes_own_limit(
    plane: Plane, number: str, limit: str
) -> None:
    body = f'{{"healthmonitor": {{"delay": {number}, "bogus": "\u00fc"}}}}'.encode()
    _, text = await post(plane, body, "/lbaas/healthmonitors")
    found = {tuple(v["path"]): v["message"] for v in json.loads(text)["violations"]}
    assert found[("delay",)].startswith(f"must be {limit}")
    assert ("bogus",) in found
    for other in (b"NaN", rb'"\ud800"', b"[" * 100_000):
        status, text = await post(
            plane, b'{"healthmonitor": {"delay": 1e400, "type": ' + other + b"}}", "/lbaas/healthmonitors"
        )
        assert (status, "is not JSON" in fault(text)) == (400, True)


@pytest.mark.parametrize("query", ["limit=" + "9" * 5000, "limit=" + "9" * 400, "protocol_port=" + "9" * 5000, "connection_limit=1e999", "name=" + "x" * 5000, "marker=" + "x" * 5000, "sort_key=" + "x" * 5000, "fields=" + "x" * 5000, "x" * 5000 + "=1"])  # fmt: skip
async def test_queries_without_measure(plane: Plane, query: str) -> None:
    async with plane.session.get(f"{BASE}/lbaas/listeners?{query}") as answer:
        text = await answer.text()
    assert answer.status in (200, 400), text
    assert "x" * 201 not in text
    assert "9" * 201 not in text or answer.status == 200


@pytest.mark.parametrize("path", ["/lbaas/listeners/" + "x" * 5000, "/lbaas/" + "x" * 5000, "/lbaas/quotas/" + "x" * 5000, "/lbaas/availabilityzones/" + "x" * 5000, "/lbaas/providers/" + "x" * 5000 + "/flavor_capabilities"])  # fmt: skip
async def test_addresses_without_measure(plane: Plane, path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        status, text = await post(plane, b'{"listener": {}, "quota": {}}', path, method)
        assert status < 500
        assert status < 400 or "x" * 201 not in text


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b'{"loadbalancer": {}}', 400), ("deflate", b'{"loadbalancer": {}}', 400), ("GZIP", b"{}", 400),
        ("gzip", gzip.compress(b'{"loadbalancer": {}}', mtime=0)[:-9], 400), ("gzip", b"", 400), ("br", b"{}", 415), ("zstd", b"{}", 415),
        ("compress", b"{}", 415), ("gzip, gzip", b"{}", 415), ("x", b"{}", 415),
        ("gzip", gzip.compress(b" " * (requests.BODY + 1), mtime=0), 413),
    ],
)  # fmt: skip
async def test_bodies_that_are_not_encoded_as_they_say(
    plane: Plane, caplog: pytest.LogCaptureFixture, encoding: str, body: bytes, status: int
) -> None:
    path = "/octavia/tls-containers" if status == 413 else URL
    found, text = await post(plane, body, path, Content_Encoding=encoding)
    assert found == status, text
    assert status != 415 or "gzip or deflate" in fault(text)
    assert not caplog.records, "what a client does wrong is not in the log"


async def test_a_gzip_body_that_ends_too_early_is_told_as_damaged(plane: Plane) -> None:
    body = gzip.compress(b'{"loadbalancer": {}}', mtime=0)[:-12]
    _, text = await post(plane, body, Content_Encoding="gzip")
    assert "the gzip data is damaged or ends too early" in fault(text)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"GET /v2/lbaas/pools?name=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: o\r\n\r\n", "has more than 8190 bytes"),
        (b"GET /v2/lbaas/pools HTTP/1.1\r\nHost: o\r\nX: " + b"x" * 9000 + b"\r\n\r\n", "has more than 8190 bytes"),
        (b"GET /v2/lbaas/pools HTTP/1.1\r\nHost: o\r\n" + b"X: y\r\n" * 5000 + b"\r\n", "this is no HTTP request"),
        (b"nonsense\r\n\r\n", "this is no HTTP request"),
    ],
    ids=["address", "header", "headers", "nonsense"],
)
async def test_what_is_no_request_is_answered_in_json(plane: Plane, head: bytes, words: str) -> None:
    reader, writer = await asyncio.open_unix_connection(plane.path)
    writer.write(head)
    answer, _, body = (await asyncio.wait_for(reader.read(), 30)).decode().partition("\r\n\r\n")
    writer.close()
    assert answer.split()[1] == "400"
    assert "Content-Type: application/json" in answer
    assert words in fault(body)
    assert "x" * 201 not in body


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("GZip", gzip.compress)],
)
async def test_bodies_that_are_encoded(plane: Plane, encoding: str, pack: Any) -> None:
    status, text = await post(
        plane, pack(b'{"network": {"name": "net"}}'), "/local/networks", Content_Encoding=encoding
    )
    assert status == 201, text


@pytest.mark.parametrize("path", ["/octavia/tls-containers", "/lbaas/loadbalancers"])
async def test_a_body_beyond_its_measure_is_413(plane: Plane, path: str) -> None:
    most = requests.BODY if "tls" in path else requests.MANY
    status, text = await post(plane, b'{"tls_container": "' + b"x" * most + b'"}', path)
    assert status == 413
    assert f"more than {most} bytes" in fault(text)
    assert (await plane.call("GET", path)).status == 200


@pytest.mark.parametrize("item", [b"0", b"{}", b'"a"', b"[]"])
async def test_a_body_of_millions_of_values_is_413(plane: Plane, item: bytes) -> None:
    """They are counted before they are read."""
    body = b'{"members": [' + item + (b"," + item) * (requests.MANY // requests.VALUE + 1) + b"]}"
    status, text = await post(plane, body, f"/lbaas/pools/{'0' * 32}/members", "PUT")
    assert status == 413
    assert "more than 2097152 values" in fault(text)


async def test_a_long_value_is_not_said_again(plane: Plane) -> None:
    long = "x" * 300_000
    for given in (
        {"vip_network_id": long},
        {long: 1},
        {"name": long},
        {"vip_address": long},
        {"provider": long},
        {"pools": [{"name": long, "protocol": long}]},
    ):
        status, text = await post(plane, json.dumps({"loadbalancer": given}).encode())
        assert status == 400
        assert "x" * 201 not in text
        assert len(text) < 20_000
    status, text = await post(plane, json.dumps({"loadbalancer": {}, long: 1}).encode())
    assert (status, "x" * 201 in text) == (400, False)
    status, text = await post(plane, json.dumps({"loadbalancer": {}, "owner": {"provider": long}}).encode())
    assert (status, "x" * 201 in text) == (400, False)


async def test_unknown_attributes_are_counted(plane: Plane) -> None:
    many = {f"key{i}": 1 for i in range(20_000)}
    for body in (
        {"loadbalancer": many},
        {"loadbalancer": {}, **many},
        {"loadbalancer": {"pools": [many]}},
        {"loadbalancer": {"additional_vips": [many]}},
    ):
        status, text = await post(plane, json.dumps(body).encode())
        assert status == 400
        assert len(text) < 20_000
        assert len(json.loads(text)["violations"]) <= 100
    for method, path, body in (
        ("PUT", "/lbaas/quotas/demo", {"quota": many}), ("POST", "/octavia/confirm", many), ("PUT", f"/lbaas/pools/{'0' * 32}/members", {"members": [many]}),
    ):  # fmt: skip
        status, text = await post(plane, json.dumps(body).encode(), path, method)
        assert status == 400
        assert len(text) < 20_000


async def test_a_body_full_of_unknown_attributes(plane: Plane) -> None:
    status, text = await post(plane, json.dumps({"loadbalancer": {f"key{i}": 1 for i in range(300_000)}}).encode())
    assert status == 400
    assert "has 300000 attributes, which no load balancer has; there is no key0, key1, key2" in fault(text)


@pytest.mark.parametrize("item", [0, {}, {"address": "x"}, []], ids=str)
async def test_wrong_items_are_counted(plane: Plane, item: Any) -> None:
    balancer = await plane.balancer()
    pool = await plane.make("pool", loadbalancer_id=balancer["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    many = [item] * 20_000
    for method, path, body in (
        ("PUT", f"/lbaas/pools/{pool['id']}/members", {"members": many}), ("POST", URL, {"loadbalancer": {"pools": many, "listeners": many}}),
        ("POST", URL, {"loadbalancer": {"tags": many}}), ("POST", "/octavia/confirm", {"provider": "x", "ids": many}),
    ):  # fmt: skip
        status, text = await post(plane, json.dumps(body).encode(), path, method)
        assert status == 400, path
        assert len(text) < 20_000
        assert len(json.loads(text)["violations"]) <= 100


async def test_large_bodies_are_read_on_a_thread(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop answers others meanwhile."""
    seen: list[bool] = []
    real = objects.create_requests

    def create_requests(*arguments: Any) -> Any:
        seen.append(threading.current_thread() is threading.main_thread())
        return real(*arguments)

    monkeypatch.setattr(objects, "create_requests", create_requests)
    await post(plane, json.dumps({"loadbalancer": {"description": "x"}}).encode())
    await post(plane, json.dumps({"loadbalancer": {"description": "x" * requests.APART}}).encode())
    assert seen == [True, False]
