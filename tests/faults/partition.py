# SPDX-License-Identifier: Apache-2.0
"""A network that carries packets between the amphorae of a pair one way only, or not at all."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from .our_pair import OctaviaPair

RULES = """
table inet partition {{
  chain input {{
    type filter hook input priority -400;
    ip saddr {peer} drop
  }}
}}
"""


@contextlib.contextmanager
def deaf(pair: OctaviaPair, name: str) -> Iterator[None]:
    """This amphora hears nothing of the other one, which may hear it."""
    (peer,) = (one["vrrp_ip"] for one in pair.listed() if one["id"] != name)
    _nft(pair, name, RULES.format(peer=peer))
    try:
        yield
    finally:
        _nft(pair, name, "delete table inet partition")


def _nft(pair: OctaviaPair, name: str, rules: str) -> None:
    enter = ["nsenter", "--target", str(pair.amphorae[name]), "--net"]
    subprocess.run([*enter, "nft", "-f", "-"], input=rules, text=True, check=True, capture_output=True)
