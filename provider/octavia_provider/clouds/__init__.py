# SPDX-License-Identifier: Apache-2.0
"""Where amphorae run: one package for each kind of cloud, behind the Protocols of ``ports``."""
