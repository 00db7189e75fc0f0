# SPDX-License-Identifier: Apache-2.0
"""How many balancers are drawn, and from which seed.

Each balancer is drawn from the seed and its own number, and from nothing else: neither what else runs, nor the order of
tests, nor the number of processes changes one. ``FUZZ_SEED`` repeats a run. The seed is put into the environment, so that
all processes of pytest-xdist have the same one.
"""

from __future__ import annotations

import os
import secrets

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
BALANCERS = int(os.environ.get("FUZZ_BALANCERS") or (100_000 if FUZZ else 3_000))
A_PART = 1_500
"""Balancers in one test: large enough for each to meet every directive, small enough to share the work."""
AT_LEAST = 20
"""How often each directive has to be met in a part: what comes once by luck may not come the next time."""
PARTS = [range(start, min(start + A_PART, BALANCERS)) for start in range(0, BALANCERS, A_PART)]
SEED = int(os.environ.setdefault("FUZZ_SEED", str(secrets.randbits(32) if FUZZ else 20_260_101)))
