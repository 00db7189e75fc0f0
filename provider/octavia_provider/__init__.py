# SPDX-License-Identifier: Apache-2.0
"""Octavia as code: the Pulumi provider, its control plane and the operator's tool."""

__version__ = "0.1.0"
