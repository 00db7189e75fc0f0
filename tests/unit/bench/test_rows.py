# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the benchmarks, and one run of the quickest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import run
from bench.rows import Row, at_least, at_most, median, median_ratio, missed

ROOT = Path(run.__file__).parent


@pytest.mark.parametrize(("value", "met"), [(1.9, True), (2.0, True), (2.1, False)])
def test_a_goal_is_met_up_to_its_limit(value: float, met: bool) -> None:
    assert Row("x", value, "s", at_most(2)).met is met
    assert Row("x", -value, "s", at_least(-2)).met is met


def test_without_a_goal_nothing_is_missed() -> None:
    rows = [Row("free", 9, "s"), Row("good", 1, "s", at_most(2)), Row("bad", 3, "s", at_most(2))]
    assert rows[0].met is None
    assert [row.name for row in missed(rows)] == ["bad"]


def test_one_disturbed_run_does_not_move_the_median() -> None:
    assert median([1.0, 1.1, 90.0]) == 1.1
    assert median([1.0, 2.0]) == 1.5


def test_ratios_are_taken_pair_by_pair() -> None:
    # The machine was three times slower in the second round: each pair still says that both are alike.
    assert median_ratio([(100.0, 100.0), (33.0, 33.0), (95.0, 100.0)]) == 1.0
    assert median_ratio([(96.0, 100.0)]) == pytest.approx(0.96)


def test_what_is_written() -> None:
    assert Row("x", 1.23456, "ms", at_most(20), 5, "so").plain() == {
        "value": 1.235, "unit": "ms", "goal": "≤ 20", "met": True, "runs": 5, "note": "so",
    }  # fmt: skip
    assert Row("x", 95.0, "%", at_least(95)).plain()["goal"] == "≥ 95"


def test_the_rendering_is_measured_and_other_rows_stay(tmp_path: Path) -> None:
    output = tmp_path / "build/bench.json"
    output.parent.mkdir()
    output.write_text(json.dumps({"other": {"value": 1}}))
    command = [sys.executable, str(ROOT / "run.py"), "--only", "render", "--json", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    written = json.loads(output.read_text())
    assert json.loads(done.stdout) == written
    assert written["other"] == {"value": 1}
    met = written["render.1000_members"]["met"]  # which of both is for `make bench` on an idle machine to say
    assert (done.returncode, met) in {(0, True), (1, False)}
    assert written["render.1000_members"]["unit"] == "ms"
