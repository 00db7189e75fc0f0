# SPDX-License-Identifier: Apache-2.0
"""``octaviactl try``: a few requests, and who answered them."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import click

from octavia_provider.model.errors import Unreachable

from . import options

PALETTE = ("cyan", "magenta", "yellow", "green", "blue", "red")


@click.command("try")
@click.argument("url")
@click.option("--count", "-n", default=12, show_default=True, type=click.IntRange(1, 1000), help="How many requests.")
@options.as_json
def try_(url: str, count: int, as_json: bool) -> None:
    """Send a few requests to URL, one after the other, each on a connection of its own; show who answers."""
    answers = [_request(url) for _ in range(count)]
    if as_json:
        options.print_json({"url": url, "answers": answers})
    else:
        _show(answers)
    if any(answer["status"] is None for answer in answers):
        raise Unreachable("not every request was answered.", subject=url, hint="octaviactl status")


def _request(url: str) -> dict[str, Any]:
    import httpx2

    started = time.perf_counter()
    try:
        response = httpx2.get(url, timeout=5.0, headers={"Connection": "close"}, trust_env=False)
    except httpx2.TransportError as error:
        return {"status": None, "by": str(error) or type(error).__name__, "milliseconds": None}
    line = response.text.strip().splitlines()[0][:60] if response.text.strip() else ""
    taken = (time.perf_counter() - started) * 1000
    return {"status": response.status_code, "by": line, "milliseconds": round(taken, 1)}


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
