# SPDX-License-Identifier: Apache-2.0
"""Writes what ``build/availability.json`` has into ``docs/explanation/availability.md``, between its markers, and the picture
beside it (``run.py --only availability --docs``)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faults.analysis import percentile

ROOT = Path(__file__).resolve().parent.parent.parent
FIGURES, PICTURE = ROOT / "build" / "availability.json", ROOT / "build" / "availability.svg"
PAGE = ROOT / "docs" / "explanation" / "availability.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = """| what happens to the active amphora | pair | runs | longest gap: median | p99 | worst | lost, new connections: median, most | lost, kept | whole again, p99 |
|---|---|---|---|---|---|---|---|---|
"""


def table(outages: Sequence[dict[str, Any]]) -> str:
    """A line for each fault of each pair."""
    lines = []
    for fault in dict.fromkeys(one["fault"] for one in outages):
        for kind in ("stock", "ours"):
            mine = [one for one in outages if (one["kind"], one["fault"]) == (kind, fault)]
            if mine:
                lines.append(_line(fault, kind, mine))
    return HEAD + "".join(lines)


def _line(fault: str, kind: str, mine: list[dict[str, Any]]) -> str:
    gaps = [one["gap"] for one in mine]
    shown = [percentile(gaps, 0.5), percentile(gaps, 0.99), max(gaps)]
    lost = (_median_and_most([one[name] for one in mine]) for name in ("lost", "kept_lost"))
    whole = f"{percentile([one['over'] for one in mine], 0.99):.1f} s" if kind == "ours" else ""
    cells = [fault, kind, str(len(mine)), *(f"{gap * 1000:,.0f} ms" for gap in shown), *lost, whole]
    return f"| {' | '.join(cells)} |\n"


def _median_and_most(lost: Sequence[int]) -> str:
    return f"{percentile(lost, 0.5):,.0f}, {max(lost):,}"


def write() -> None:
    """The page and the picture."""
    outages = json.loads(FIGURES.read_text())
    loads = [one["load"] for one in outages]
    figures = (
        f"{table(outages)}\nLoad average of the machine during these runs: {min(loads):.0f} to {max(loads):.0f}.\n"
    )
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{figures}{END}{rest.partition(END)[2]}")
    if PICTURE.exists():
        shutil.copyfile(PICTURE, PAGE.with_suffix(".svg"))
