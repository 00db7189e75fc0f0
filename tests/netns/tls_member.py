# SPDX-License-Identifier: Apache-2.0
"""A member that tells what it received: headers, and of TLS what was negotiated and who the other side is. JSON.

Port 80 in the clear, port 443 by TLS where ``PAIR`` has a certificate with its key; ``CA`` asks for the other side's.
"""

import http.server
import json
import os
import ssl
import tempfile
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        said = {
            "name": os.environ["NAME"],
            "headers": {k.lower(): v for k, v in self.headers.items()},
            "tls": self.tls(),
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def tls(self) -> "dict[str, object] | None":
        link = self.connection
        if not isinstance(link, ssl.SSLSocket):
            return None
        other = dict(part[0] for part in (link.getpeercert() or {}).get("subject", ()))
        return {
            "version": link.version(),
            "cipher": link.cipher()[0],
            "alpn": link.selected_alpn_protocol(),
            "sni": getattr(link, "asked_name", None),
            "client": other.get("commonName"),
        }

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    context: "ssl.SSLContext | None" = None

    def finish_request(self, request, client_address):
        if self.context is not None:  # in the connection's own thread: a slow handshake holds nobody up
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, *args: object) -> None:
        pass  # a handshake that the other side gave up


def asked(link, name, _context):
    link.asked_name = name


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as pair:
        pair.write(os.environ["PAIR"])
        pair.flush()
        made.load_cert_chain(pair.name)
    if os.environ.get("CA"):
        made.load_verify_locations(cadata=os.environ["CA"])
        made.verify_mode = ssl.CERT_OPTIONAL
    made.set_alpn_protocols(["http/1.1"])
    made.sni_callback = asked
    return made


if os.environ.get("PAIR"):
    secure = Server(("", 443), Handler)
    secure.context = context()
    threading.Thread(target=secure.serve_forever, daemon=True).start()
Server(("", 80), Handler).serve_forever()
