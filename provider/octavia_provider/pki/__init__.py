# SPDX-License-Identifier: Apache-2.0
"""The CA of the amphorae: certificates for agents (servers) and control planes (clients)."""

from __future__ import annotations

from .authority import CertificateAuthority

__all__ = ["CertificateAuthority"]
