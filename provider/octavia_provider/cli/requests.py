# SPDX-License-Identifier: Apache-2.0
"""``octaviactl try``: a few requests, and who answered them."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from typing import Any
from urllib.parse import SplitResult

import click

from octavia_provider.kit import urls
from octavia_provider.model.errors import Unreachable

from . import options

PALETTE = ("cyan", "magenta", "yellow", "green", "blue", "red")


@click.command("try")
@click.argument("url")
@click.option("--count", "-n", default=12, show_default=True, type=click.IntRange(1, 1000), help="How many requests.")
@options.as_json
def try_(url: str, count: int, as_json: bool) -> None:
    """Send a few requests to URL, one after the other, each on a connection of its own; show who answers."""
    parts = urls.http(url)
    if parts is None:
        raise click.BadParameter(f"{url!r} is no URL, as http://127.0.0.1:8080 is", param_hint="URL")
    answers = [_request(parts) for _ in range(count)]
    if as_json:
        options.print_json({"url": url, "answers": answers})
    else:
        _show(answers)
    if any(answer["status"] is None for answer in answers):
        raise Unreachable("not every request was answered.", subject=url, hint="octaviactl status")
    if bad := [answer["status"] for answer in answers if not 200 <= answer["status"] < 400]:
        raise Unreachable(f"{len(bad)} requests were answered with {bad[0]}.", subject=url, hint="octaviactl status")


def _request(parts: SplitResult) -> dict[str, Any]:
    """By the plainest client there is: what is timed is the balancer, and not a client that is set up."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=5.0)
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    started = time.perf_counter()
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        text = response.read(65536).decode(errors="replace").strip()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return {"status": None, "by": str(error) or type(error).__name__, "milliseconds": None}
    finally:
        connection.close()
    taken = (time.perf_counter() - started) * 1000
    line = text.splitlines()[0][:60] if text else ""
    return {"status": response.status, "by": line, "milliseconds": round(taken, 1)}


def _show(answers: list[dict[str, Any]]) -> None:
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(sorted({a["by"] for a in answers}))}
    for number, answer in enumerate(answers, start=1):
        status = str(answer["status"] or "---")
        mark = click.style(status, fg="green" if status.startswith("2") else "red")
        taken = f"{answer['milliseconds']:6.1f} ms" if answer["milliseconds"] is not None else " " * 9
        click.echo(f"  {number:3}  {mark}  {taken}  {click.style('● ' + answer['by'], fg=colours[answer['by']])}")
    shares = Counter(a["by"] for a in answers)
    for name, times in sorted(shares.items()):
        bar = "█" * round(30 * times / len(answers))
        click.echo(f"  {click.style(bar, fg=colours[name])} {name} {times}/{len(answers)}")
