# SPDX-License-Identifier: Apache-2.0
"""All that is wrong with a request, told together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from octavia_provider.model.errors import Invalid, Violation


class Faults:
    """Collects the violations of the parts of a request; ``check`` raises them all."""

    def __init__(self, found: Iterable[Violation] = ()) -> None:
        self._found = list(found)
        self._subject = ""

    @contextmanager
    def collected(self) -> Iterator[None]:
        """The block ends at what is ``Invalid`` in it; what follows the block is still looked at."""
        try:
            yield
        except Invalid as error:
            self._found.extend(error.violations)
            self._subject = self._subject or error.subject

    def check(self) -> None:
        """``Invalid`` where anything was found."""
        if self._found:
            raise Invalid(dict.fromkeys(self._found), subject=self._subject)
