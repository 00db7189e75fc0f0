# SPDX-License-Identifier: Apache-2.0
"""Which object a person means by a word."""

from __future__ import annotations

import re

NAME_LENGTH = 255


def means(word: str, id: str, name: str) -> bool:  # noqa: A002
    """By its id, its name, or the name of the Pulumi resource that it was made from, which adds seven digits."""
    return word in (id, name) or re.fullmatch(re.escape(word) + "-[0-9a-f]{7}", name) is not None


def camel(name: str) -> str:
    """``lb_algorithm`` → ``lbAlgorithm``."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
