# SPDX-License-Identifier: Apache-2.0
"""A member that wants the PROXY protocol (its specification: version 1 in section 2.1, version 2 in 2.2): answers with
what it was told, as JSON. A plain request is answered too, and says version 0; port 82 tells its counters."""

import contextlib
import json
import socket
import socketserver
import struct
import threading

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
COUNTS = {"proxied": 0, "plain": 0, "tls_hellos": 0}
TLVS = {0x21: "version", 0x22: "client"}  # PP2_SUBTYPE_SSL_VERSION, PP2_SUBTYPE_SSL_CN


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.read(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def of_tls(data):
    found = {}
    while data:
        kind, length = struct.unpack("!BH", data[:3])
        value, data = data[3 : 3 + length], data[3 + length :]
        if kind == 0x20:  # PP2_TYPE_SSL: flags, verify, then TLVs of its own
            return of_tls(value[5:])
        if kind in TLVS:
            found[TLVS[kind]] = value.decode()
    return {"version": found.get("version"), "client": found.get("client")} if found else None


def header(stream):
    first = exactly(stream, 5)
    if first == b"PROXY":
        words = (first + stream.readline()).decode().split()
        if words[1] == "UNKNOWN":
            return {"version": 1}, b""
        return {"version": 1, "source": words[2], "source_port": int(words[4]), "destination_port": int(words[5])}, b""
    if first != SIGNATURE[:5]:
        return {"version": 0}, first
    if exactly(stream, 7) != SIGNATURE[5:]:
        raise ValueError("no signature")
    command, family, length = struct.unpack("!BBH", exactly(stream, 4))
    rest = exactly(stream, length)
    if command == 0x20:
        return {"version": 2}, b""
    size = 12 if family == 0x11 else 36
    half = (size - 4) // 2
    address = socket.inet_ntop(socket.AF_INET if half == 4 else socket.AF_INET6, rest[:half])
    source_port, destination_port = struct.unpack("!HH", rest[2 * half : size])
    told = {"version": 2, "source": address, "source_port": source_port, "destination_port": destination_port}
    return {**told, "tls": of_tls(rest[size:])}, b""


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(EOFError, ConnectionError):
            self.converse()

    def finish(self):
        with contextlib.suppress(OSError):
            super().finish()

    def converse(self):
        told, begun = header(self.rfile)
        COUNTS["proxied" if told["version"] else "plain"] += 1
        while first := (begun or self.rfile.read(1)):
            begun = b""
            if first == b"\x16":
                COUNTS["tls_hellos"] += 1
                return
            line = first + self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            body = json.dumps({**told, **COUNTS}).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            if b"HTTP/1.0" in line:
                return


class Told(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        body = json.dumps(COUNTS).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    threading.Thread(target=Server(("", 82), Told).serve_forever, daemon=True).start()
    Server(("", 80), Handler).serve_forever()
