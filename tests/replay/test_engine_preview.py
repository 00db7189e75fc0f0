# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

LB = 'lb = Balancer("lb", subnetId="net-1")\n'
EDITS = {
    "create": LB + 'Listener("web", balancerId=lb.id, port=80)\nMember("m", balancerId=lb.id, address="a")\n',
    "update, replace and delete": LB.replace("net-1", "net-2")
    + 'Listener("web", balancerId=lb.id, port=81)\nListener("more", balancerId=lb.id, port=82)\n',
    "nothing": LB.replace("net-1", "net-2")
    + 'Listener("web", balancerId=lb.id, port=81)\nListener("more", balancerId=lb.id, port=82)\n',
}


def test_invariant_02_what_is_previewed_is_what_is_done(stack: Any) -> None:
    for what, text in EDITS.items():
        stack.program(text)
        previewed, _ = stack.run("preview")
        done, shown = stack.run("up")
        assert previewed.ok, what
        assert done.ok, shown
        assert previewed.summary.changes == done.summary.changes, what
