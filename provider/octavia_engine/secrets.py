# SPDX-License-Identifier: Apache-2.0
"""Pulumi's passphrase secrets provider.

The key is PBKDF2-HMAC-SHA256(passphrase, salt, 1,000,000 rounds, 32 bytes); a value is AES-256-GCM under it, written
``v1:<base64 nonce of 12>:<base64 ciphertext>``. The stack's ``encryptionsalt`` is ``v1:<base64 salt of 8>:`` followed
by the encrypted word ``pulumi``, by which a wrong passphrase is noticed (``pkg/secrets/passphrase`` in Pulumi).
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from octavia_provider.model.errors import Forbidden, Invalid, Violation

ROUNDS = 1_000_000
_CHECK = "pulumi"
VARIABLE = "PULUMI_CONFIG_PASSPHRASE"


@lru_cache(maxsize=16)
def _key(passphrase: str, salt: bytes) -> bytes:
    """About half a second of work, so once per process."""
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, ROUNDS, 32)


class Secrets:
    """Encrypts and decrypts the secrets of one stack."""

    def __init__(self, key: bytes, salt: str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(key)
        self.salt = salt

    @classmethod
    def new(cls, passphrase: str) -> Secrets:
        """For a new stack: a fresh salt."""
        raw = secrets.token_bytes(8)
        instance = cls(_key(passphrase, raw), "")
        instance.salt = f"v1:{base64.b64encode(raw).decode()}:{instance.encrypt(_CHECK)}"
        return instance

    @classmethod
    def open(cls, salt: str, passphrase: str, stack: str) -> Secrets:
        """For an existing stack. Raises Forbidden when the passphrase is another one, Invalid on a broken salt."""
        parts = salt.split(":", 2)
        if len(parts) != 3 or parts[0] != "v1":
            raise Invalid([Violation(("encryptionsalt",), "is not of the form v1:…:v1:…:…")], subject=f"stack {stack}")
        opened = cls(_key(passphrase, base64.b64decode(parts[1])), salt)
        try:
            matches = opened.decrypt(parts[2]) == _CHECK
        except Forbidden:
            matches = False
        if not matches:
            raise Forbidden(
                "the passphrase is not the one that encrypted this stack's secrets",
                subject=f"stack {stack}",
                hint=f"set {VARIABLE} (or {VARIABLE}_FILE) to the passphrase the stack was made with",
            )
        return opened

    def encrypt(self, text: str) -> str:
        """``v1:<nonce>:<ciphertext>``."""
        nonce = os.urandom(12)
        sealed = self._aead.encrypt(nonce, text.encode(), None)
        return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, sealed: str) -> str:
        """The plaintext. Raises Forbidden when it was not encrypted under this key."""
        from cryptography.exceptions import InvalidTag

        try:
            nonce, text = sealed.removeprefix("v1:").split(":")
            return self._aead.decrypt(base64.b64decode(nonce), base64.b64decode(text), None).decode()
        except (InvalidTag, ValueError) as error:
            raise Forbidden(
                "a secret cannot be decrypted: it was encrypted with another key, or is damaged",
                hint=f"check {VARIABLE} and the encryptionsalt of Pulumi.<stack>.yaml",
            ) from error

    def provider(self) -> dict[str, Any]:
        """``secrets_providers`` of a checkpoint."""
        return {"type": "passphrase", "state": {"salt": self.salt}}


def passphrase(stack: str) -> str:
    """From ``PULUMI_CONFIG_PASSPHRASE``, ``…_FILE``, or the person at the terminal. Raises Forbidden without one."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return given
    path = os.environ.get(f"{VARIABLE}_FILE")
    if path:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise Forbidden(f"{VARIABLE}_FILE names {path}: {error.strerror}", subject=f"stack {stack}") from error
    return _prompt(stack)


def _interactive() -> bool:
    return sys.stdin.isatty()


@lru_cache(maxsize=16)
def _prompt(stack: str) -> str:
    """Asked once in a process."""
    if not _interactive():
        raise Forbidden(
            "its secrets need a passphrase and none was given",
            subject=f"stack {stack}",
            hint=f"set {VARIABLE} (it may be empty) or {VARIABLE}_FILE",
        )
    import getpass

    return getpass.getpass(f"Passphrase of stack {stack} (set {VARIABLE} to be asked no more): ")
