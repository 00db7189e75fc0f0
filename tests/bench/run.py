# SPDX-License-Identifier: Apache-2.0
"""``run.py [--only TOPIC]… [--runs N] [--minutes M] [--json]``: measures, shows a table, writes ``build/bench.json``.

With ``--only``, the rows of other topics stay in the file as they were. Exit code 1: a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from bench import topics
from bench.rows import Row, missed

OUTPUT = Path(__file__).resolve().parent.parent.parent / "build" / "bench.json"


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description="Measure.", allow_abbrev=False)
    parser.add_argument(
        "--only", action="append", choices=topics.TOPICS, metavar="TOPIC", help=", ".join(topics.TOPICS)
    )
    parser.add_argument("--json", action="store_true", help="show JSON instead of a table")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the JSON goes (default: build/bench.json)")
    parser.add_argument("--runs", type=int, help="availability: how often each fault is done (default: 30)")
    parser.add_argument("--minutes", type=float, help="availability: when no other round begins (default: 120)")
    parser.add_argument("--docs", action="store_true", help="availability: write figures and picture into docs/")
    asked = parser.parse_args()
    topics.OPTIONS = topics.Options(asked.runs, asked.minutes, asked.docs)
    console = Console(stderr=True)
    rows = [row for name in asked.only or topics.TOPICS for row in _topic(name, console)]
    written = _write(rows, asked.output, keep=bool(asked.only))
    if asked.json:
        print(json.dumps(written, indent=2, ensure_ascii=False))
    else:
        Console().print(_table(rows))
    return 1 if missed(rows) else 0


def _topic(name: str, console: Console) -> list[Row]:
    rows: list[Row] = []
    with console.status(f"[bold]{name}") as status:
        try:
            for row in topics.load(name)(lambda what: status.update(f"[bold]{name}[/] {what}")):
                rows.append(row)
                console.print(f"  {_mark(row)} {row.name}: {row.value:,.4g} {row.unit}")
        except topics.NotHere as why:
            console.print(f"  [yellow]–[/] {name}: {why}")
    return rows


def _write(rows: list[Row], path: Path, *, keep: bool) -> dict[str, object]:
    before: dict[str, object] = json.loads(path.read_text()) if keep and path.exists() else {}
    now = before | {row.name: row.plain() for row in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n")
    return now


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("", "left"), ("what", "left"), ("value", "right"), ("unit", "left"), ("goal", "left"),
                           ("runs", "right"), ("note", "left")):  # fmt: skip
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        goal = "" if row.goal is None else str(row.goal)
        table.add_row(_mark(row), row.name, f"{row.value:,.4g}", row.unit, goal, str(row.runs), row.note)
    return table


def _mark(row: Row) -> str:
    return {None: " ", True: "[green]✓[/]", False: "[red]✗[/]"}[row.met]


if __name__ == "__main__":
    sys.exit(main())
