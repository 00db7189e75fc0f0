# SPDX-License-Identifier: Apache-2.0
"""The operator's folder of templates: read at start, and again when a file in it has changed.

What it holds is tried before it is taken (``rehearsal``). Where a change is no good, what was taken last stays in use.
"""

from __future__ import annotations

from pathlib import Path
from stat import S_ISDIR

import structlog

from .environment import HINT, TemplateFault, Templates, shipped
from .rehearsal import rehearse

log = structlog.get_logger(__name__)
Fingerprint = tuple[tuple[str, int, int], ...]


class Overlay:
    """``folder`` None: our templates alone."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._seen: Fingerprint | None = None
        self._taken: Templates | None = None

    def load(self) -> Templates:
        """Read the folder and try what it holds; ``TemplateFault`` where it is no good."""
        if self._folder is None:
            return shipped()
        templates, seen = Templates(self._folder), _fingerprint(self._folder)
        _known(templates, self._folder, seen)
        rehearse(templates)
        self._seen, self._taken = seen, templates
        return templates

    def current(self) -> Templates:
        """What is to be rendered with now."""
        if self._folder is None:
            return shipped()
        if self._taken is None:
            return self.load()
        try:
            seen = _fingerprint(self._folder)
            if seen != self._seen:
                self._seen = seen
                self.load()
                log.info("templates taken", folder=str(self._folder))
        except TemplateFault as error:
            log.error("templates not taken; those of before stay in use", error=str(error))  # noqa: TRY400 - its words are enough
        return self._taken


def _fingerprint(folder: Path) -> Fingerprint:
    try:
        folder.stat()
        found = [(path, path.stat()) for path in sorted(folder.rglob("*")) if not _set_aside(path.relative_to(folder))]
    except OSError as error:
        named = Path(error.filename or folder)
        raise TemplateFault(
            f"cannot be read: {error.strerror}.", hint=HINT,
            subject=f"templates in {folder}" if named == folder else f"template {named}",
        ) from None  # fmt: skip
    return tuple(
        (f"{path.relative_to(folder)}{'/' if S_ISDIR(stat.st_mode) else ''}", stat.st_mtime_ns, stat.st_size)
        for path, stat in found
    )


def _set_aside(name: Path) -> bool:
    """What editors and version control leave beside the templates."""
    return name.name.endswith("~") or any(part.startswith(".") for part in name.parts)


def _known(templates: Templates, folder: Path, seen: Fingerprint) -> None:
    """A file that nothing would ever read is a mistake; those that begin with an underscore are for others to include."""
    ours = templates.names()
    folders = {f"{Path(name).parent}/" for name in ours}
    for name, _, _ in seen:
        if name in ours or name in folders or any(part.startswith("_") for part in Path(name).parts):
            continue
        what = f"replaces none of ours: {', '.join(ours)}."
        if name.rstrip("/") in ours:
            what = "is a folder, and has to be a file."
        raise TemplateFault(
            what, subject=f"template {folder / name}",
            hint=f"a name that begins with an underscore, if others include it: {HINT}",
        )  # fmt: skip
