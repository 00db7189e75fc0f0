# SPDX-License-Identifier: Apache-2.0
"""What changes among certificates, authorities and revocation lists, in haproxy's runtime API. Pure.

haproxy 2.6 management guide, section 9.3: ``set ssl cert|ca-file|crl-file`` and ``commit``, ``new ssl cert``, ``add ssl
crt-list``. Each takes effect for new handshakes at once; nothing that is open ends. The first certificate of a list
is the default and cannot be taken away at run time; a content larger than haproxy's buffer cannot be said either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from octavia_amphora.wire.config import Configuration, File, FileKind, Frontend, crt_line, crt_list, without_udp

_OBJECT_TYPES: dict[FileKind, str] = {"certificate": "cert", "ca": "ca-file", "crl": "crl-file"}
# tune.bufsize is 16,384 bytes at least; the command and haproxy's own use of the buffer need some of it
MAX_CONTENT = 15_000


@dataclass(frozen=True, slots=True)
class RuntimeCommand:
    """One command, in how haproxy's answer tells that it was done. ``payload`` (PEM, maybe a key) is never shown.

    ``leaks``: haproxy keeps memory of it until it is reloaded (see ``telling``).
    """

    text: str
    expected: str
    payload: str = field(default="", repr=False)
    undo: str = ""
    leaks: bool = False

    def succeeded(self, answer: str) -> bool:
        """Whether this answer says that it is done."""
        return self.expected.lower() in answer.lower()


def commands(
    old: Configuration, new: Configuration, directory: str, content: Callable[[File], str]
) -> list[RuntimeCommand] | None:
    """The commands, in order; None when only a reload leads there. Frontends' texts are equal: the caller has looked."""
    changed = [one for name, one in new.files.items() if name not in old.files or old.files[name].digest != one.digest]
    contents = {one.name: content(one) for one in changed}
    if any(_needs_reload(one, new) for one in changed):
        return None
    if any(len(text.encode()) > MAX_CONTENT for text in contents.values()):
        return None
    found: list[RuntimeCommand] = []
    for one in changed:
        steps = _update_commands(one, f"{directory}/{one.name}", contents[one.name], is_new=one.name not in old.files)
        if steps is None:
            return None
        found.extend(steps)
    before = without_udp(old).frontends
    for name, frontend in without_udp(new).frontends.items():
        listed = _crt_list_commands(before[name], frontend, directory)
        if listed is None:
            return None
        found.extend(listed)
    return [*found, *_remove_commands(old, new, directory)]


def _needs_reload(one: File, configuration: Configuration) -> bool:
    """Whether servers go on with what they have read of it: haproxy 2.6 makes a server's context anew at run time through the
    server's own certificate alone, and says "Success!" of authorities and lists where there is none (measured)."""
    if one.kind == "certificate":
        return False
    firsts = (next(iter(backend.servers.values()), None) for backend in configuration.backends.values())
    words = (server.options.split() for server in firsts if server)  # of one backend all say the same
    return any(one.name in said and "crt" not in said for said in words)


def _update_commands(one: File, path: str, content: str, *, is_new: bool) -> list[RuntimeCommand] | None:
    word = _OBJECT_TYPES[one.kind]
    if is_new and one.kind != "certificate":
        return None  # no line names it yet, or one does and the texts differ
    found = [RuntimeCommand(f"new ssl {word} {path}", "New empty")] if is_new else []
    undo = f"abort ssl {word} {path}"
    return [
        *found,
        RuntimeCommand(f"set ssl {word} {path}", "transaction", content, undo),
        RuntimeCommand(f"commit ssl {word} {path}", "Success!", undo=undo),
    ]


def _crt_list_commands(old: Frontend, new: Frontend, directory: str) -> Iterator[RuntimeCommand] | None:
    if any(old.names.get(one) != new.names.get(one) for one in old.certificates if one in new.certificates):
        return None  # it would have to leave the list and come back at its end
    if old.certificates == new.certificates:
        return iter(())
    if not old.certificates or not new.certificates or old.certificates[0] != new.certificates[0]:
        return None
    kept = [one for one in old.certificates if one in new.certificates]
    if list(new.certificates[: len(kept)]) != kept:
        return None  # of two certificates for one name the first is served, and at run time one can only append
    at = f"{directory}/{crt_list(new.name)}"
    return _crt_list_changes(old, new, at, directory)


def _crt_list_changes(old: Frontend, new: Frontend, at: str, directory: str) -> Iterator[RuntimeCommand]:
    for one in new.certificates:
        if one not in old.certificates:
            if one in new.names:
                yield RuntimeCommand(f"add ssl crt-list {at}", "Success!", crt_line(new, one, f"{directory}/"))
            else:
                yield RuntimeCommand(f"add ssl crt-list {at} {directory}/{one}", "Success!")
    for one in old.certificates:
        if one not in new.certificates:
            yield RuntimeCommand(f"del ssl crt-list {at} {directory}/{one}", "deleted in crtlist", leaks=True)


def _remove_commands(old: Configuration, new: Configuration, directory: str) -> Iterator[RuntimeCommand]:
    """Nothing names them any more: what had named them was a text, and that is a reload, or a list of certificates."""
    for name, one in old.files.items():
        if name not in new.files:
            yield RuntimeCommand(f"del ssl {_OBJECT_TYPES[one.kind]} {directory}/{name}", "deleted!")
