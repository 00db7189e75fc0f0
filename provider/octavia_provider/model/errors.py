# SPDX-License-Identifier: Apache-2.0
"""The one tree of errors.

    OctaviaError
    ├── TransientError(retry_after)    try the same again later
    │   ├── Unreachable                an agent, a control plane or a cloud does not answer
    │   └── Interrupted                we were asked to stop while waiting
    └── PermanentError                 the same call would fail again
        ├── Invalid(violations)        bad input: each violation names its property path
        ├── NotFound
        ├── Conflict                   uniqueness, in use, immutable
        │   └── LeaseLost              another control plane is the writer of the scope now
        ├── Forbidden
        ├── Unauthenticated            nobody knows who asks
        ├── Refused                    haproxy, a kernel or a cloud said no
        └── WrongControlPlane          the answer comes from another control plane than the one that made the object

Every error names the object, says what was tried and what to do next; ``str()`` is one line fit for a user.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from octavia_provider.kit import terminal

from . import echo

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: where (in the API's spelling, ``("members", 0, "protocol_port")``) and why."""

    path: Path
    message: str

    def __post_init__(self) -> None:
        """What a caller made long is not said back to it whole."""
        object.__setattr__(self, "message", echo.message(self.message))
        object.__setattr__(self, "path", tuple(echo.name(p) if isinstance(p, str) else p for p in self.path))

    def __str__(self) -> str:
        return f"{spell(self.path)}: {self.message}" if self.path else self.message


def spell(path: Path) -> str:
    """``("members", 0, "weight")`` → ``members[0].weight``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


WHOLE = 4 * echo.MESSAGE
"""Characters of the one line that an error is; haproxy's own words have some hundreds."""
VIOLATIONS, SAID = 100, 20
"""How many violations an answer lists, and how many of them its one line says."""


def bounded(violations: Iterable[Violation]) -> tuple[Violation, ...]:
    """The first violations; the last one says how many more there are."""
    found = tuple(violations)
    if len(found) <= VIOLATIONS:
        return found
    return (*found[: VIOLATIONS - 1], Violation((), f"and {len(found) - VIOLATIONS + 1} more things are wrong"))


class OctaviaError(Exception):
    """The root: everything that we raise on purpose."""

    def __init__(self, message: str, *, subject: str = "", hint: str = "") -> None:
        message = echo.message(message, WHOLE)
        super().__init__(message)
        self.message = message
        self.subject = echo.message(subject)
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.subject}: {self.message}" if self.subject else self.message
        stop = "" if text.endswith((".", "!", "?")) else "."
        return terminal.escape_text(f"{text}{stop} Try: {self.hint}" if self.hint else text)


class TransientError(OctaviaError):
    """The same call may succeed after ``retry_after`` seconds."""

    def __init__(self, message: str, *, subject: str = "", hint: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.retry_after = retry_after


class Unreachable(TransientError):
    """Nothing answered."""


class Interrupted(TransientError):
    """The wait was cancelled or ran out; the work itself goes on."""


class PermanentError(OctaviaError):
    """The same call would fail again."""


class Invalid(PermanentError):
    """Bad input, refused before anything was touched. Carries every violation found."""

    def __init__(self, violations: Iterable[Violation], *, subject: str = "") -> None:
        self.violations: Sequence[Violation] = bounded(violations)
        said = [str(violation) for violation in self.violations[:SAID]]
        more = len(self.violations) - len(said)
        super().__init__("; ".join([*said, *([f"and {more} more"] if more else [])]), subject=subject)


class NotFound(PermanentError):
    """The object does not exist in this control plane.

    ``path`` names the property that refers to it, where one does (a parent that is not there).
    """

    def __init__(self, message: str, *, subject: str = "", hint: str = "", path: Path = ()) -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.path = path


class Conflict(PermanentError):
    """Something else is in the way: a duplicate, or an object that is still used.

    ``path`` names the property that collides, where one does; ``holder`` is the id of the object that has what is wanted.
    """

    def __init__(
        self, message: str, *, subject: str = "", hint: str = "", path: Path = (), holder: str = ""
    ) -> None:  # fmt: skip
        super().__init__(message, subject=subject, hint=hint)
        self.path = path
        self.holder = holder


class LeaseLost(Conflict):
    """Another control plane has become the writer: what was under way here is dropped, it does the work."""


class Forbidden(PermanentError):
    """This caller may not do this. ``path`` names the object that may not be made, where many are made in one call."""

    def __init__(self, message: str, *, subject: str = "", hint: str = "", path: Path = ()) -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.path = path


class Unauthenticated(PermanentError):
    """Nobody knows who asks: no token, or one that is not valid. ``challenge``: where to get one (RFC 9110, section 11.6.1)."""

    challenge = ""


class Refused(PermanentError):
    """haproxy, the kernel or the cloud refused; the message is in their words."""


class WrongControlPlane(PermanentError):
    """Another control plane answered than the one that made the object: its "not found" proves nothing."""
