# SPDX-License-Identifier: Apache-2.0
"""A gRPC server (grpcio): calls of every shape at ``test.Echo``, and ``grpc.health.v1.Health``, which answers ``HEALTH``.

Port 8443 in the clear, 9443 by TLS where ``PAIR`` has a certificate with its key (``CA`` asks for the other side's and wants one).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

NAME = os.environ["NAME"].encode()


def unary(request: bytes, context: Any) -> bytes:
    seen = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-trailer", "after"), ("x-saw", seen.get("x-asked", "nothing"))))
    return NAME + b":" + request


def down(request: bytes, context: Any) -> Iterator[bytes]:
    context.set_trailing_metadata((("x-trailer", "after"),))
    for number in range(int(request)):
        yield b"%s:%d" % (NAME, number)


def up(requests: Iterator[bytes], _: Any) -> bytes:
    return NAME + b":" + b"+".join(requests)


def both(requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
    for request in requests:
        yield NAME + b":" + request


def fail(_: bytes, context: Any) -> bytes:
    context.set_trailing_metadata((("x-reason", "moved"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: größer")
    raise AssertionError


def broken(_: bytes, context: Any) -> Iterator[bytes]:
    yield b"first"
    context.set_trailing_metadata((("x-reason", "halfway"),))
    context.abort(grpc.StatusCode.DATA_LOSS, "the rest is lost")


def health(request: bytes, context: Any) -> bytes:
    if request not in (b"", b"\x0a\x09test.Echo"):
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes([8, int(os.environ.get("HEALTH", "1"))])


server = grpc.server(futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers([
    grpc.method_handlers_generic_handler("test.Echo", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary), "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up), "Both": grpc.stream_stream_rpc_method_handler(both),
        "Fail": grpc.unary_unary_rpc_method_handler(fail), "Broken": grpc.unary_stream_rpc_method_handler(broken),
    }),
    grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(health)}),
])  # fmt: skip
server.add_insecure_port("[::]:8443")
if os.environ.get("PAIR"):
    key, mark, chain = os.environ["PAIR"].encode().partition(b"-----BEGIN CERTIFICATE-----")
    authority = os.environ.get("CA", "").encode() or None
    credentials = grpc.ssl_server_credentials([(key, mark + chain)], authority, require_client_auth=bool(authority))
    server.add_secure_port("[::]:9443", credentials)
server.start()
server.wait_for_termination()
