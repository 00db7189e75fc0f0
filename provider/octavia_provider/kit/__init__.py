# SPDX-License-Identifier: Apache-2.0
"""Helpers without load-balancing logic: paths, logging, terminal output, URLs."""
