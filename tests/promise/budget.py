# SPDX-License-Identifier: Apache-2.0
"""How many balancers are drawn, and from which seed."""

from __future__ import annotations

import os
import secrets

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
BALANCERS = 100_000 if FUZZ else 3_000
SEED = int(os.environ.get("PROMISE_SEED", secrets.randbits(32) if FUZZ else 20_260_101))
