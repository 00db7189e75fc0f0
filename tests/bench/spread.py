# SPDX-License-Identifier: Apache-2.0
"""``faults/openloop.py`` for several addresses, which are asked in turn. ``spread.py RATE TIMEOUT ADDRESS…`` runs until its standard
input ends, and prints for each address the longest gap between two answers, and how many requests failed of how many."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import itertools

from faults.openloop import OpenLoop, Sample, _Request

ENOUGH = 86_400.0


class Spread(OpenLoop):
    """The n-th request goes to the n-th address, round and round."""

    def __init__(self, addresses: Sequence[str], *, rate: float, timeout: float) -> None:
        super().__init__(f"http://{addresses[0]}/", rate=rate, seconds=ENOUGH, timeout=timeout)
        self._addresses = addresses

    def _open(self, request: _Request) -> None:
        self._address = (self._addresses[(len(self.samples) - 1) % len(self._addresses)], 80)
        super()._open(request)


def _gap(samples: Sequence[Sample]) -> float:
    """Seconds from the last request before that was answered to the first one after, each by when it was due."""
    answered = [one.due for one in samples if not one.error]
    return max((after - before for before, after in itertools.pairwise(answered)), default=ENOUGH)


def main() -> None:
    """See above."""
    addresses = sys.argv[3:]
    loop = Spread(addresses, rate=float(sys.argv[1]), timeout=float(sys.argv[2]))
    gc.disable()
    print("begun", flush=True)
    loop.run(sys.stdin.fileno())
    for number, address in enumerate(addresses):
        mine = loop.samples[number :: len(addresses)]
        failed = sum(bool(one.error) for one in mine)
        print(json.dumps({"address": address, "gap": _gap(mine), "failed": failed, "asked": len(mine)}))


if __name__ == "__main__":
    main()
