# SPDX-License-Identifier: Apache-2.0
"""Cookies that keep clients at their member, and heads of messages as large as they may be."""

from __future__ import annotations

import http.client
import socket
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest

import pem

from .installation import Installation, Stack, make_stack, until

pytestmark = pytest.mark.timeout(300)

# Answers with its name; X-Set: what is to stand in the answer as a line of its own.
MEMBER = """
import asyncio, os
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lines = head.split(b"\\r\\n")[1:-2]
            fields = [line.partition(b":")[::2] for line in lines]
            given = [value.strip() for name, value in fields if name.lower() == b"x-set"]
            size = next((int(value) for name, value in fields if name.lower() == b"x-size"), 0)
            given += [b"X-Filler-%d: %s" % (n, b"f" * 1000) for n in range(size // 1016)]
            body = b"%s %d" % (os.environ["NAME"].encode(), len(head))
            writer.write(b"\\r\\n".join([b"HTTP/1.1 200 OK", *given, b"Content-Length: %d" % len(body), b"", body]))
    except (OSError, asyncio.IncompleteReadError):
        writer.close()
async def main():
    async with await asyncio.start_server(serve, "", 80, limit=1 << 20, backlog=512) as server:
        await server.serve_forever()
asyncio.run(main())
"""
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUiLCJhdWQiOiJ3ZWIiLCJzdWIiOi"


def made(site: Installation, members: int = 3, **options: Any) -> Stack:
    stack = make_stack(site, members=0, **options)
    for number in range(1, members + 1):
        host = site.create(
            "local_host", name=f"m{number}", network_id=stack.network["id"], command=["python3", "-c", MEMBER],
            environment={"NAME": f"m{number}"},
        )  # fmt: skip
        stack.add_member(host)
    if stack.url.startswith("http:"):
        wanted = {f"m{number}" for number in range(1, members + 1)}
        until(lambda: {send(stack.url)[1] for _ in range(members)} == wanted, what="every member to answer")
    return stack


def send(url: str, *lines: str) -> tuple[int, str, list[str]]:
    """One request with these lines: the status, who answered, and the lines of Set-Cookie."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=20) as connection:
        connection.sendall("\r\n".join(["GET / HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]).encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read().decode().partition(" ")[0], answer.headers.get_all("Set-Cookie") or []


def stays(
    url: str, value: str, *, request: list[str] | None = None, around: tuple[list[str], list[str]] = ([], [])
) -> str:
    """Log in with a cookie of this value; who answered, and from then on answers to it alone."""
    before, after = around
    lines = [*before, f"Set-Cookie: APP={value}; Path=/; HttpOnly", *after]
    first = send(url, *(f"X-Set: {line}" for line in lines))
    assert first[2], first
    shown = request or [f"Cookie: theme=dark; APP={value}; lang=en"]
    assert {send(url, *shown)[1] for _ in range(7)} == {first[1]}, value[:80]
    return first[1]


@pytest.mark.covers("pool.session_persistence.type=APP_COOKIE", "pool.session_persistence.cookie_name")
def test_app_cookie__all_of_the_value_decides(site: Installation) -> None:
    stack = made(site, session_persistence={"type": "APP_COOKIE", "cookie_name": "APP"})
    url, spread = stack.url, {"m1", "m2", "m3"}
    for begins in ("", TOKEN, "x" * 63, "x" * 64, "y" * 8192, '"a b, c ', "a=b,", "a%2C|~"):
        values = [begins + end for end in ("1", "2", "3")]
        assert {stays(url, value) for value in values} == spread, begins[:80]
        assert {send(url, f"Cookie: APP={value}")[1] for value in values} == spread  # none was moved by the others
    stays(
        url, "many", around=(["Set-Cookie: A=1; Path=/", "set-cookie: B=APP=no"], ["Set-Cookie: APPLE=no", "Vary: x"])
    )
    stays(url, "last", around=(["Set-Cookie: APP=first"], []))
    stays(url, "lines", request=["Cookie: a=1", "cookie: b=2; APP=lines", "Cookie: c=3"])
    stays(url, "named", request=["Cookie: XAPP=no; APPX=no; APP = named ; app=no"])
    assert {send(url, "Cookie: XAPP=named")[1] for _ in range(6)} == spread
    assert {send(url, "X-Cookie: APP=named", "X-Other: Cookie: APP=named")[1] for _ in range(6)} == spread
    kept = {value: stays(url, value) for value in (TOKEN + "a", TOKEN + "b")}
    # what earlier versions remembered is known by the value as it stands
    backend = f"{stack.pool['id']}:{stack.listener['id']}"
    rows = [line.split() for line in stack.haproxy(f"show servers state {backend}").splitlines()[2:]]
    numbers = {row[3]: row[2] for row in rows if row}
    old = next(one for one in stack.members if one["name"] == "m3")["id"]
    stack.haproxy(f"set table {backend} key earlier data.server_id {numbers[old]}")
    stack.change("listener", stack.listener["id"], timeout_client_data=40_000)  # a reload
    assert {send(url, "Cookie: APP=earlier")[1] for _ in range(6)} == {"m3"}
    for value, member in kept.items():
        assert {send(url, f"Cookie: APP={value}")[1] for _ in range(6)} == {member}


@pytest.mark.covers(
    "pool.session_persistence.type=HTTP_COOKIE", "pool.session_persistence.cookie_secure",
    "pool.session_persistence.cookie_http_only", "pool.session_persistence.cookie_same_site=STRICT",
    "pool.session_persistence.cookie_same_site=LAX", "pool.session_persistence.cookie_same_site=NONE",
)  # fmt: skip
def test_http_cookie__what_browsers_are_told_of_it(site: Installation) -> None:
    stack = made(site, members=2, session_persistence={"type": "HTTP_COOKIE"})
    container = site.create("tls_container", **pem.make("a.test").container())
    secure = site.create(
        "listener", loadbalancer_id=stack.load_balancer["id"], protocol="TERMINATED_HTTPS", protocol_port=443,
        default_pool_id=stack.pool["id"], default_tls_container_ref=container["id"],
    )  # fmt: skip
    until(lambda: told(secure["url"])[0] == "200", what="an answer by TLS")

    def attributes(**persistence: Any) -> list[set[str]]:
        stack.change("pool", stack.pool["id"], session_persistence={"type": "HTTP_COOKIE", **persistence})
        return [told(url)[1] for url in (stack.url, secure["url"])]

    assert attributes() == [{"HttpOnly"}, {"HttpOnly", "Secure"}]
    assert attributes(cookie_secure=True) == [{"HttpOnly", "Secure"}] * 2
    assert attributes(cookie_secure=False) == [{"HttpOnly"}] * 2
    assert attributes(cookie_http_only=False) == [set(), {"Secure"}]
    assert attributes(cookie_same_site="STRICT") == [
        {"HttpOnly", "SameSite=Strict"},
        {"HttpOnly", "Secure", "SameSite=Strict"},
    ]
    assert attributes(cookie_same_site="LAX", cookie_secure=False) == [{"HttpOnly", "SameSite=Lax"}] * 2
    assert attributes(cookie_same_site="NONE") == [{"HttpOnly", "Secure", "SameSite=None"}] * 2
    _, member, (cookie,) = send(stack.url)
    assert {send(stack.url, f"Cookie: {cookie.partition(';')[0]}")[1] for _ in range(6)} == {member}


def told(url: str) -> tuple[str, set[str]]:
    """The status, and the attributes of the load balancer's cookie (less its path), as curl sees them."""
    done = subprocess.run(["curl", "-sSki", "--http1.1", url], capture_output=True, text=True, timeout=20, check=False)
    lines = done.stdout.splitlines() or ["none none"]
    cookies = [line.partition(": ")[2] for line in lines if line.lower().startswith("set-cookie:")]
    found = {part.strip() for cookie in cookies for part in cookie.split(";")[1:]}
    return lines[0].split()[1], found - {"path=/"}


@pytest.mark.covers("load_balancer.max_header_size")
def test_how_large_the_head_of_a_message_may_be(site: Installation) -> None:
    stack = made(site, members=1)
    container = site.create("tls_container", **pem.make("a.test").container())
    secure = site.create(
        "listener", loadbalancer_id=stack.load_balancer["id"], protocol="TERMINATED_HTTPS", protocol_port=443,
        default_pool_id=stack.pool["id"], default_tls_container_ref=container["id"],
    )  # fmt: skip
    policy = {"action": "CHANGE_HEADERS", "header_changes": [
        {"operation": "SET", "name": f"X-New-{n}", "value": "n" * 980, "message": message}
        for n in range(4) for message in ("REQUEST", "RESPONSE")
    ]}  # fmt: skip
    made_policy = site.create("l7_policy", listener_id=stack.listener["id"], **policy)
    site.create("l7_rule", parent=made_policy["id"], type="PATH", compare_type="STARTS_WITH", value="/")

    def answer(*headers: str) -> int:
        status = send(stack.url, *headers)[0]
        return 400 if status == 431 else status  # haproxy 3.2 says what is too large (RFC 6585)

    def one(size: int) -> int:
        return answer(f"X-Large: {'l' * (size - 100)}")

    def many(size: int) -> int:
        return answer(*(f"X-Many-{n}: {'m' * 150}" for n in range(size // 170)))

    def short(number: int) -> int:
        return answer(*(f"X-Short-{n}: s" for n in range(number)))

    def response(size: int) -> int:
        return send(stack.url, f"X-Size: {size}")[0]

    def by_http2(size: int) -> str:
        command = ["curl", "-sSk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", secure["url"]]
        command += [word for n in range(size // 8000) for word in ("-H", f"X-Large-{n}: {'l' * 7980}")]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout

    until(lambda: by_http2(0) == "2 200", what="an answer by TLS")
    assert [one(15_000), one(24_000), many(15_000), many(24_000)] == [200, 400, 200, 400]
    assert [response(14_000), response(24_000), by_http2(8_000)] == [200, 502, "2 200"]
    assert [short(90), short(110)] == [200, 400]
    for size in (32_768, 65_536):
        changed = site.update("load_balancer", stack.load_balancer["id"], max_header_size=size)
        assert changed["provisioning_status"] == "ACTIVE", changed
        assert [one(size), many(size), response(size - 400), by_http2(size - 8_000)] == [200, 200, 200, "2 200"], size
        assert [short(size // 128 - 20), short(size // 128 + 10)] == [200, 400], size
        assert [one(size + 12_000), response(size + 12_000)] == [400, 502], size
    site.update("load_balancer", stack.load_balancer["id"], max_header_size=None)
    assert [one(15_000), one(24_000)] == [200, 400]
