# SPDX-License-Identifier: Apache-2.0
"""What may happen in a life, drawn from a seed as data: so a life can be run again, and without some of its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from .site import PAIR, SINGLE

CALLS = ("boot", "ready", "push", "create_port", "delete_port", "delete_server", "set_rule", "readdress", "write")
SLOW = ("boot", "ready", "push", "delete_server", "write")
STEPS = range(2, 6)
"""So many beside the first two."""
LEASE_SECONDS = 20.0
MOST_EFFECTS = 40
"""Of a control plane until it ends: a load balancer is made in fewer."""
ANY = 1 << 20


@dataclass(frozen=True, slots=True)
class Step:
    """``numbers`` choose: objects by their place among those that there are then."""

    name: str
    numbers: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}{self.numbers}"


@dataclass(frozen=True, slots=True)
class Life:
    seed: int
    roles: tuple[str, ...]
    steps: tuple[Step, ...]
    living: Callable[..., Any] | None = None
    """What lives it, where that is not ``life.Living``."""


def _one(random: Random) -> int:
    return random.randrange(ANY)


def _port(random: Random) -> int:
    return random.randint(80, 83)


def _coin(random: Random) -> bool:
    return random.random() < 0.5


def _among(*choices: Any) -> Callable[[Random], Any]:
    return lambda random: random.choice(choices)


RULES: dict[str, tuple[int, tuple[Callable[[Random], Any], ...]]] = {
    # what users do
    "make": (2, ()),
    "listen": (3, (_one, _port)),
    "move": (2, (_one, _port)),
    "close": (1, (_one,)),
    "readdress": (1, (_one, _coin)),
    "choose_flavor": (2, (_one, _coin)),
    "fail_over": (2, (_one, _among("all", "first", "last"))),
    "unmake": (1, (_one,)),
    # calls and links
    "fail": (2, (_among(*CALLS), _among(1, 2, 3))),
    "lose_answers": (2, (_among(*CALLS), _among(1, 2))),
    "slow": (1, (_among(*SLOW), _among(1.0, 15.0))),
    "repeat_pushes": (1, (_among(1, 3),)),
    "jumble_heartbeats": (1, ()),
    "cut": (3, (_among("requests", "answers", "both", "cloud", "store", "vrrp"), _one, _one)),
    "mend": (2, (_one,)),
    # amphorae
    "lose": (2, (_one,)),
    "deafen": (1, (_one,)),
    "hang": (1, (_one,)),
    # control planes and time
    "crash": (5, (_one, _among(*range(MOST_EFFECTS)), _coin)),
    "crash_while_starting": (1, (_among(*range(12)), _coin)),
    "add_control_plane": (1, ()),
    "pause": (2, (_one, _among(1.0, LEASE_SECONDS / 2, LEASE_SECONDS * 2))),
    "freeze": (1, (_among(3.0, 30.0, 3600.0),)),
    "turn_clock": (1, (_among(-60.0, -5.0, 5.0, 3600.0),)),
    "pass_time": (4, (_among(0.03, 0.3, 1.0, 5.0, 15.0),)),
}
"""Name → how often, and what its numbers are drawn from."""


Rules = dict[str, tuple[int, tuple[Callable[[Random], Any], ...]]]


def draw(seed: int, rules: Rules = RULES, living: Callable[..., Any] | None = None) -> Life:
    """The life of this seed. It begins with a load balancer that has a listener: most often a single one, which costs half of a pair."""
    random = Random(seed)
    names, weights = list(rules), [weight for weight, _ in rules.values()]
    chosen = ["make", "listen", *random.choices(names, weights, k=random.choice(STEPS))]
    steps = tuple(Step(name, tuple(drawn(random) for drawn in rules[name][1])) for name in chosen)
    return Life(seed, random.choice((SINGLE, SINGLE, PAIR)), steps, living)
