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
        mode = stat.S_IMODE(path.stat().st_mode)
        key = path.read_bytes()
    except FileNotFoundError:
        hint = "restore it from the backup it belongs to, or remove the database too and start afresh"
        raise NotFound("does not exist, but the database does", subject=subject, hint=hint) from None
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", subject=subject, hint="look at its owner and mode") from None
    if mode & 0o077:
        raise Refused(f"has mode {mode:04o}: others may read it", subject=subject, hint=f"chmod 600 {path}")
    if len(key) != KEY_BYTES:
        message = f"holds {len(key)} bytes and should hold {KEY_BYTES}"
        raise Refused(message, subject=subject, hint="restore it from the backup it belongs to")
    return key


def make_key(path: Path) -> bytes:
    """The key in the file, made now when there is none; of two processes that do so at once, one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # never over another's key
            path.hardlink_to(fresh)
    finally:
        fresh.unlink()
    return read_key(path)
