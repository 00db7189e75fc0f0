# SPDX-License-Identifier: Apache-2.0
"""A picture of outages, as SVG: requests over time, those that were answered and those that were lost, one panel a pair."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from faults.openloop import Sample

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM, BETWEEN = 900, 150, 64, 16, 40, 44, 40
BIN = 0.02
ANSWERED, LOST, INK, GRID = "#4c8eda", "#d62f2f", "#333333", "#dddddd"


@dataclass(frozen=True, slots=True)
class Panel:
    """``since``: the moment of the fault. ``rate``: requests a second."""

    title: str
    samples: Sequence[Sample]
    since: float
    rate: float


def draw(title: str, panels: Sequence[Panel], *, before: float = 0.5, after: float = 4.0) -> str:
    """The panels under each other, with the fault at second 0 of a common axis."""
    height = TOP + len(panels) * (PANEL + BETWEEN) + BOTTOM - BETWEEN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" fill="{INK}">',
        "<style>text {font-size: 12px}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(WIDTH / 2, 18, title, "middle", "font-weight='bold'"),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (PANEL + BETWEEN), before, after)
    axis = TOP + len(panels) * (PANEL + BETWEEN) - BETWEEN
    parts += [
        _text(_x(second, before, after), axis + 16, f"{second} s", "middle")
        for second in range(int(-before), int(after) + 1)
    ]
    legend = axis + 34
    for x, color, words in ((LEFT, ANSWERED, "answered"), (LEFT + 90, LOST, "lost (by when they were due)")):
        parts += [
            f'<rect x="{x}" y="{legend - 9}" width="10" height="10" fill="{color}"/>',
            _text(x + 15, legend, words),
        ]
    return "\n".join([*parts, "</svg>", ""])


def bins(panel: Panel, *, before: float, after: float) -> list[tuple[int, int]]:
    """How many were answered and how many were lost, by when they were due."""
    count = round((before + after) / BIN)
    found = [[0, 0] for _ in range(count)]
    for one in panel.samples:
        number = int((one.due - panel.since + before) // BIN)
        if 0 <= number < count:
            found[number][bool(one.error)] += 1
    return [(good, lost) for good, lost in found]


def _panel(panel: Panel, top: float, before: float, after: float) -> list[str]:
    bottom, most = top + PANEL, panel.rate * BIN * 1.25
    parts = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        for y in (bottom, bottom - PANEL * 0.8)
    ]
    parts += [_text(LEFT, top - 6, panel.title), _text(LEFT - 6, bottom - PANEL * 0.8 + 4, f"{panel.rate:g}/s", "end")]
    parts.append(_text(LEFT - 6, bottom + 4, "0", "end"))
    width = (WIDTH - LEFT - RIGHT) * BIN / (before + after)
    bars = {ANSWERED: "", LOST: ""}
    for number, (good, lost) in enumerate(bins(panel, before=before, after=after)):
        x, y = LEFT + number * width, bottom
        for color, many in ((ANSWERED, good), (LOST, lost)):
            tall = min(many / most, 1.0) * PANEL
            if many:
                bars[color] += f"M{x:.1f} {y:.1f}v{-tall:.1f}h{width:.1f}v{tall:.1f}z"
                y -= tall
    parts += [f'<path d="{path}" fill="{color}"/>' for color, path in bars.items() if path]
    moment = _x(0.0, before, after)
    parts.append(
        f'<line x1="{moment:.1f}" x2="{moment:.1f}" y1="{top}" y2="{bottom}" stroke="{INK}" stroke-dasharray="4 3"/>'
    )
    return parts


def _x(second: float, before: float, after: float) -> float:
    return LEFT + (second + before) / (before + after) * (WIDTH - LEFT - RIGHT)


def _text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{html.escape(words)}</text>'
