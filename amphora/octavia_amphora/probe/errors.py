# SPDX-License-Identifier: Apache-2.0
"""Why a check fails."""

from __future__ import annotations


class ProbeFailed(Exception):
    """The server answers, and what it answers is not what a healthy one would."""
