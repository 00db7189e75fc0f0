# SPDX-License-Identifier: Apache-2.0
"""Shares of servers as ranges of numbers. Pure, and the same for the same servers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

# The kernel's hash has a seed; a fixed one, so that a client keeps its bucket over changes and on another amphora.
SEED = 0x0C7A71A
# Primes (Maglev needs one): the share of a server is true to about one bucket.
_SIZES = (2_039, 16_381, 131_071)
_BUCKETS_PER_SERVER = 32

Range = tuple[int, int, str]


def round_robin(weights: Mapping[str, int]) -> tuple[int, list[Range]]:
    """Size and ranges for numbers that count up: each server has as many as its weight."""
    divisor = math.gcd(*weights.values())
    ranges, start = [], 0
    for name, weight in weights.items():
        share = weight // divisor
        ranges.append((start, start + share - 1, name))
        start += share
    return start, ranges


def maglev(weights: Mapping[str, int]) -> tuple[int, list[Range]]:
    """Size and ranges for hashes: when a server comes or goes, few buckets of the others change hands.

    Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4; a server
    takes its turn as often as its weight says against the greatest.
    """
    size = next((s for s in _SIZES if s >= len(weights) * _BUCKETS_PER_SERVER), _SIZES[-1])
    greatest = max(weights.values())
    walks = {name: _permutation(name, size) for name in sorted(weights)}
    credit = dict.fromkeys(walks, 0)
    owners: list[str] = [""] * size
    free = size
    while free:
        for name, walk in walks.items():
            credit[name] += weights[name]
            if credit[name] < greatest or not free:
                continue
            credit[name] -= greatest
            owners[next(place for place in walk if not owners[place])] = name
            free -= 1
    return size, list(_runs(owners))


def _permutation(name: str, size: int) -> Iterable[int]:
    """All places, in an order of this server's own."""
    digest = hashlib.sha256(name.encode()).digest()
    offset = int.from_bytes(digest[:8], "big") % size
    skip = int.from_bytes(digest[8:16], "big") % (size - 1) + 1
    return ((offset + step * skip) % size for step in range(size))


def _runs(owners: list[str]) -> Iterable[Range]:
    start = 0
    for place in range(1, len(owners) + 1):
        if place == len(owners) or owners[place] != owners[start]:
            yield start, place - 1, owners[start]
            start = place
