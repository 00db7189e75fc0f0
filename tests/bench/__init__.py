# SPDX-License-Identifier: Apache-2.0
"""``make bench``: what is fast, what is slow, in numbers. One module for each topic; ``run.py`` runs them."""
