# SPDX-License-Identifier: Apache-2.0
"""Runs a program in processes whose sets are ordered differently: within one process such an order never changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SEEDS = ("1", "2")


def printed(program: str) -> str:
    """What the program prints, under every seed the same. It may import what tests import."""
    found = {seed: _run(f"print(hash('a'))\n{program}", seed).partition("\n") for seed in SEEDS}
    assert len({order for order, _, _ in found.values()}) == len(SEEDS), "these seeds give the same order"
    first, *others = [text for _, _, text in found.values()]
    for other in others:
        assert other == first
    return first


def _run(program: str, seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
