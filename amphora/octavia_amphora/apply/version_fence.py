# SPDX-License-Identifier: Apache-2.0
"""Which push comes next: the rules of ``wire.messages.VersionStamp``. Pure."""

from __future__ import annotations

from octavia_amphora.wire import config
from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.messages import Push, Refusal, VersionStamp

from .disk import PushRecord
from .errors import PushRefused


def check_order(stamp: VersionStamp, newest: PushRecord | None) -> None:
    """Refuse what is older than the newest known, and what calls itself the same and is not."""
    if newest is None or stamp.order > newest.stamp.order:
        return
    if stamp.order < newest.stamp.order:
        known = newest.stamp.order
        message = f"(epoch, fence, revision) {stamp.order} is older than {known}, which this agent was told before"
        raise PushRefused(Refusal("stale", message, stamp=newest.stamp))
    if stamp.digest != newest.stamp.digest or newest.removed:
        message = f"(epoch, fence, revision) {stamp.order} came before with another digest. Push with a new revision"
        raise PushRefused(Refusal("conflict", message, stamp=newest.stamp))


def resolve(load_balancer_id: str, push: Push, accepted: PushRecord | None) -> Configuration:
    """The configuration that a push means, proven by its digest."""
    if (push.full is None) == (push.delta is None):
        raise PushRefused(Refusal("bad_request", "exactly one of full and delta has to be given"))
    if push.full is not None:
        return _check_full(load_balancer_id, push.full, push.stamp)
    base = accepted.configuration if accepted else None
    if push.delta is None or base is None or accepted is None or push.delta.since != accepted.stamp.digest:
        has = accepted.stamp.digest[:16] if accepted else "nothing"
        message = f"the delta is based on another configuration than the one in force ({has}). Push the whole"
        raise PushRefused(Refusal("base", message, stamp=accepted.stamp if accepted else None))
    result = config.apply(base, push.delta)
    if config.digest(result) != push.stamp.digest:
        message = "with the delta put in, the digest is another than the stamp's (order counts). Push the whole"
        raise PushRefused(Refusal("base", message, stamp=accepted.stamp))
    return result


def _check_full(load_balancer_id: str, full: Configuration, stamp: VersionStamp) -> Configuration:
    if full.load_balancer_id != load_balancer_id:
        raise PushRefused(Refusal("bad_request", f"the configuration is of load balancer {full.load_balancer_id}"))
    if config.digest(full) != stamp.digest:
        raise PushRefused(Refusal("bad_request", "the digest in the stamp is not the configuration's"))
    return full
