# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in the holder, in a form that can be sent; ``client.py`` makes an error of the model's tree of it."""

from __future__ import annotations

from typing import Any, Literal

from octavia_amphora.shortage import is_shortage

Kind = Literal["refused", "transient", "not_found", "lease_lost"]


class Problem(Exception):
    """``kind`` says which error it is, ``subject`` names the object, ``hint`` says what to do next."""

    def __init__(self, message: str, *, kind: Kind = "refused", subject: str = "", hint: str = "") -> None:
        super().__init__(f"{subject}: {message}" if subject else message)
        self.data: dict[str, Any] = {"kind": kind, "message": message, "subject": subject, "hint": hint}


def told(error: BaseException) -> dict[str, Any]:
    """Any exception as what is sent: a Problem's own data, else its own words: a refusal, or (where the machine is short of something) for now."""
    if isinstance(error, Problem):
        return error.data
    kind: Kind = "transient" if is_shortage(error) or isinstance(error, TimeoutError) else "refused"
    return Problem(str(error) or type(error).__name__, kind=kind).data


def raised(data: dict[str, Any]) -> Problem:
    """The Problem that was sent."""
    return Problem(data["message"], kind=data["kind"], subject=data["subject"], hint=data["hint"])
