# SPDX-License-Identifier: Apache-2.0
"""The agent's API: HTTPS with certificates on both sides."""
