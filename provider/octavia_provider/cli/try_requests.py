# SPDX-License-Identifier: Apache-2.0
"""``octaviactl try``: send a few requests and show which member answered."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

import click

from octavia_provider.kit import console, urls
from octavia_provider.kit.console import Styled, styled
from octavia_provider.model.errors import Unreachable

from . import options

PALETTE = ("cyan", "magenta", "yellow", "green", "blue", "red")
TIMEOUT = 5.0
# OpenSSL's verification errors (x509_vfy.h).
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
_EXPIRED, _NOT_YET, _OTHER_NAME = 10, 9, frozenset({62, 64})


@dataclass(frozen=True, slots=True)
class Target:
    """The server and the host name to request; ``tls`` None: plain HTTP."""

    parts: SplitResult
    name: str | None
    tls: ssl.SSLContext | None


@click.command("try")
@click.argument("url")
@click.option("--count", "-n", default=12, show_default=True, type=click.IntRange(1, 1000), help="How many requests.")
@click.option(
    "--host",
    "name",
    metavar="NAME",
    help="Ask for this name: Host header; with https also SNI and the certificate's name.",
)
@click.option(
    "--cacert",
    type=click.Path(exists=True, dir_okay=False),
    help="Trust the authorities (or the self-made certificate) in this PEM file.",
)
@click.option("--insecure", "-k", is_flag=True, help="Do not verify the certificate.")
@options.as_json
def try_(*, url: str, count: int, name: str | None, cacert: str | None, insecure: bool, as_json: bool) -> None:
    """Send a few requests to URL, one after the other, each on a connection of its own; show who answers."""
    parts = urls.parse_http(url)
    if parts is None:
        raise click.BadParameter(f"{url!r} is no URL, as http://127.0.0.1:8080 is", param_hint="URL")
    if name is not None and (not name.isascii() or not name.isprintable() or " " in name or not name):
        raise click.BadParameter(f"{name!r} is no host name", param_hint="--host")
    target = Target(parts, name, _tls_context(cacert, insecure=insecure) if parts.scheme == "https" else None)
    answers = [_request(target) for _ in range(count)]
    if as_json:
        shown = [{key: value for key, value in answer.items() if key != "hint"} for answer in answers]
        options.print_json({"url": url, "answers": shown})
    else:
        _show(answers)
    _raise_on_failures(url, answers)


def _tls_context(cacert: str | None, *, insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif cacert:
        try:
            context.load_verify_locations(cafile=cacert)
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            raise click.BadParameter(
                f"{cacert} holds no certificates in PEM ({reason})", param_hint="--cacert"
            ) from None
    return context


def _raise_on_failures(url: str, answers: Sequence[dict[str, Any]]) -> None:
    hints = {answer["hint"] for answer in answers if answer["status"] is None}
    if hints:
        raise Unreachable("not every request was answered.", subject=url, hint=min(hints))
    failures = Counter(answer["status"] for answer in answers if not 200 <= answer["status"] < 400)
    if failures:
        summary = ", ".join(
            f"{times} of {len(answers)} requests were answered with {status}" for status, times in failures.items()
        )
        hint = "octaviactl status" if any(status >= 500 for status in failures) else "another path, or --host"
        raise Unreachable(f"{summary}.", subject=url, hint=hint)


def _request(target: Target) -> dict[str, Any]:
    """One request with the simplest client, so that the time measured is the load balancer's."""
    parts = target.parts
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    headers = {"Connection": "close", **({"Host": target.name} if target.name else {})}
    started = time.perf_counter()
    connection = http.client.HTTPConnection(parts.hostname or "", _port(parts), timeout=TIMEOUT)
    try:
        connection.connect()
        if target.tls is not None:
            connection.sock = _wrap_tls(connection.sock, target)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        text = response.read(65536).decode(errors="replace").strip()
    except (OSError, ValueError, http.client.HTTPException) as error:
        message = getattr(error, "verify_message", "") or str(error) or type(error).__name__
        return {"status": None, "by": message, "milliseconds": None, "hint": _hint(error, target)}
    finally:
        connection.close()
    elapsed = (time.perf_counter() - started) * 1000
    line = text.splitlines()[0][:60] if text else ""
    return {"status": response.status, "by": line, "milliseconds": round(elapsed, 1)}


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _wrap_tls(sock: socket.socket, target: Target) -> ssl.SSLSocket:
    if target.tls is None:
        raise ValueError("asked for TLS without a context")
    return target.tls.wrap_socket(sock, server_hostname=target.name or target.parts.hostname)


def _hint(error: Exception, target: Target) -> str:
    """A hint for a failed request."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return "octaviactl status"
    code = error.verify_code
    if code in _UNKNOWN_AUTHORITY:
        return "--cacert FILE with the authority that signed it (a self-made certificate: itself), or --insecure"
    if code in _OTHER_NAME:
        return "--host NAME with a name that the certificate is for, or --insecure"
    if code in (_EXPIRED, _NOT_YET):
        return "renew the certificate of the TLS container; --insecure asks all the same"
    return f"--insecure asks all the same ({target.parts.hostname} shows a certificate that does not verify)"


def _show(answers: Sequence[dict[str, Any]]) -> None:
    colours = {by: PALETTE[i % len(PALETTE)] for i, by in enumerate(sorted({a["by"] for a in answers}))}
    for number, answer in enumerate(answers, start=1):
        status = str(answer["status"] or "---")
        mark = styled(status, fg="green" if status.startswith("2") else "red")
        elapsed = f"{answer['milliseconds']:6.1f} ms" if answer["milliseconds"] is not None else " " * 9
        console.echo(f"  {number:3}  ", mark, f"  {elapsed}  ", styled(f"● {answer['by']}", fg=colours[answer["by"]]))
    shares = Counter(a["by"] for a in answers)
    for by, times in sorted(shares.items()):
        bar: Styled = styled("█" * round(30 * times / len(answers)), fg=colours[by])
        console.echo("  ", bar, f" {by} {times}/{len(answers)}")
