# SPDX-License-Identifier: Apache-2.0
"""A 404 is the word of who answers it: of the control plane that made an object, or of one that never knew it."""

from __future__ import annotations

from octavia_provider.model.errors import NotFound, WrongControlPlane


class NotFoundBy(NotFound):
    """A 404, with the id of the control plane that sent it ("" when unknown)."""

    def __init__(self, error: NotFound, answered_by: str) -> None:
        super().__init__(error.message, subject=error.subject, hint=error.hint, path=error.path)
        self.answered_by = answered_by


class verify_not_found:  # noqa: N801 - reads as a word: with _proven(...)
    """Turn a 404 from anything but the control plane that created the object into :class:`WrongControlPlane`.

    Another control plane (another home, an emptied folder) or a proxy that answers 404 knows nothing about the object.
    """

    def __init__(self, kind: str, id: str, made_by: str) -> None:  # noqa: A002
        self._subject = f"{kind} {id}"
        self._made_by = made_by

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if not isinstance(error, NotFound) or not self._made_by:
            return
        answered_by = error.answered_by if isinstance(error, NotFoundBy) else ""
        if answered_by == self._made_by:
            return
        responder = (
            f"control plane {answered_by}" if answered_by else "something that does not say which control plane it is"
        )
        raise WrongControlPlane(
            f"was made by control plane {self._made_by}, and {responder} answers, which knows nothing about it.",
            subject=self._subject,
            hint="point the provider's endpoint or OCTAVIA_HOME back to the control plane that made it, or remove the "
            "resource from the state (pulumi state delete, or octaviactl stack forget) if that control plane is lost",
        ) from None
