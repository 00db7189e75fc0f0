# SPDX-License-Identifier: Apache-2.0
"""Trying a configuration before anything that serves is touched: haproxy reads it, and its ports are free."""

from __future__ import annotations

from octavia_amphora.haproxy import check, prelude
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration, compose
from octavia_amphora.wire.messages import Refusal

from . import binds
from .disk import write
from .errors import Refused
from .files import Files
from .ways import Ways


async def prove(ways: Ways, paths: Paths, files: Files, running: list[Configuration], new: Configuration) -> None:
    """``Refused`` with what haproxy or the kernel complains of; ``running``: whose ports are ours already."""
    files.lay_out(new, paths.candidate_files)
    head = prelude.prelude(paths, mark="check", files=paths.candidate_files)
    write(paths.candidate, compose(new, prelude=head).encode(), mode=paths.mode)
    output = await check.check(ways.haproxy, paths.candidate, ways.account)
    paths.candidate.unlink()
    if output is not None:
        found = check.complaints(output, new, skipped_lines=len(head.splitlines()))
        message = "; ".join(one.message for one in found) or output.strip()[-1000:]
        raise Refused(Refusal("refused", f"haproxy refuses the configuration: {message}", found))
    found = binds.complaints(running, new)
    if found:
        message = "; ".join(one.message for one in found)
        raise Refused(Refusal("bind", f"cannot listen: {message}", found))
