# SPDX-License-Identifier: Apache-2.0
"""Secrets at rest: AES-256-GCM (NIST SP 800-38D) under a key that lies in a file beside the database.

Whoever has the database alone (a backup, a copy) has no secret. The file is readable by its owner only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from octavia_provider.model.errors import NotFound, Refused

KEY_BYTES = 32
NONCE_BYTES = 12


class Cipher:
    """Encrypts and decrypts; ``context`` binds a ciphertext to its place, so rows cannot be swapped."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aes = AESGCM(key)

    def encrypt(self, plain: bytes, context: str) -> bytes:
        """A fresh nonce, then the ciphertext with its tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, plain, context.encode())

    def decrypt(self, sealed: bytes, context: str) -> bytes:
        """The plain text; ``Refused`` when the key is another or the row was tampered with."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aes.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise Refused(
                "cannot be decrypted: the key is not the one it was written with, or the row was changed",
                subject=context, hint="restore the key file that belongs to this database",
            ) from None  # fmt: skip


def read_key(path: Path) -> bytes:
    """The key in the file; ``NotFound`` when there is none, ``Refused`` when others may read it or it is no key."""
    subject = f"key file {path}"
    try:
        found = path.stat()
        mode = stat.S_IMODE(found.st_mode)
        key = path.read_bytes()
    except FileNotFoundError:
        hint = "restore it; without it nothing can be read, and `octaviactl adopt` can only let go of what runs"
        raise NotFound("does not exist, but the database does", subject=subject, hint=hint) from None
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", subject=subject, hint="look at its owner and mode") from None
    if found.st_uid != os.geteuid():
        hint = f"chown {os.geteuid()} {path}, where it is yours"
        raise Refused(f"belongs to the user with uid {found.st_uid}, who may read it", subject=subject, hint=hint)
    if mode & 0o077:
        raise Refused(f"has mode {mode:04o}: others may read it", subject=subject, hint=f"chmod 600 {path}")
    if len(key) != KEY_BYTES:
        message = f"holds {len(key)} bytes and should hold {KEY_BYTES}"
        raise Refused(message, subject=subject, hint="restore it from the backup it belongs to")
    return key


def make_key(path: Path) -> bytes:
    """A new key in a file beside ``path``: ``keep_key`` gives it its name once the database that it belongs to is there.

    So a key of that name belongs to a database, wherever a crash came between both.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = _fresh(path)
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return read_key(fresh)


def keep_key(path: Path) -> None:
    """The key that was made is the key of the database; nothing happens where there is one."""
    if path.exists():
        return
    with contextlib.suppress(FileNotFoundError):  # none was made, or another process was faster
        _fresh(path).rename(path)


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
