# SPDX-License-Identifier: Apache-2.0
"""Trying a configuration before anything that serves is touched: haproxy reads it, and its ports are free."""

from __future__ import annotations

from octavia_amphora.haproxy import check, global_section
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration, compose
from octavia_amphora.wire.messages import Refusal

from . import binds
from .disk import write
from .errors import PushRefused
from .files import Files
from .settings import AgentSettings


async def check_configuration(
    settings: AgentSettings, paths: Paths, files: Files, running: list[Configuration], new: Configuration
) -> None:
    """``PushRefused`` with what haproxy or the kernel complains of; ``running``: whose ports are ours already."""
    files.link_files(new, paths.candidate_files)
    peer = settings.amphora_id if new.vrrp else ""
    head = global_section.render(paths, mark="check", files=paths.candidate_files, local_peer=peer)
    write(paths.candidate, compose(new, global_section=head).encode(), mode=paths.mode)
    output = await check.check(settings.haproxy, paths.candidate, settings.haproxy_user)
    paths.candidate.unlink()
    if output is not None:
        found = check.complaints(output, new, skipped_lines=len(head.splitlines()))
        message = "; ".join(one.message for one in found) or output.strip()[-1000:]
        raise PushRefused(Refusal("refused", f"haproxy refuses the configuration: {message}", found))
    found = binds.bind_errors(running, new)
    if found:
        message = "; ".join(one.message for one in found)
        raise PushRefused(Refusal("bind", f"cannot listen: {message}", found))
