# SPDX-License-Identifier: Apache-2.0
"""PEM in a few words: whose certificates they are, until when, with which fingerprint. Nobody reads the text itself."""

from __future__ import annotations

from typing import Any

from . import armor, certificates

BEGIN = "-----BEGIN "
MOST = 3
"""Certificates of a bundle that are told of one by one."""


def in_words(text: str) -> str | None:
    """``CN=a.example.com until 2027-01-31, SHA-256 3f0c…``; None for what is no PEM, or none that can be read."""
    if BEGIN not in text:
        return None
    if armor.holds_private_key(text):
        return "[private key]"
    try:
        if "X509 CRL" in text:
            return _joined([_list(one) for one in certificates.revocation_lists(text)])
        return _joined([_certificate(one) for one in certificates.certificates(text)])
    except ValueError:
        return None


def change(old: Any, new: Any) -> str | None:
    """``CN=a until … → CN=a until …`` of two texts of which one is PEM; None else."""
    words = [in_words(side) if isinstance(side, str) else None for side in (old, new)]
    if words == [None, None]:
        return None
    return " → ".join(
        word or ("none" if side is None else "not known yet") for word, side in zip(words, (old, new), strict=True)
    )


def _joined(told: list[str]) -> str:
    more = len(told) - MOST
    return "; ".join(told[:MOST]) + (f"; and {more} more" if more > 0 else "")


def _certificate(certificate: Any) -> str:
    facts = certificates.facts(certificate)
    subject = facts["subject"] or ", ".join(facts["subject_alternative_names"]) or "(no subject)"
    return f"{subject} until {facts['not_after'][:10]}, SHA-256 {facts['fingerprint']}"


def _list(crl: Any) -> str:
    end = crl.next_update_utc
    return f"revocations of {crl.issuer.rfc4514_string()}" + (f" until {end:%Y-%m-%d}" if end else "")
