# SPDX-License-Identifier: Apache-2.0
"""Putting pushed configurations in force: what is kept on disk, runtime change or reload, verified or rolled back."""
