# SPDX-License-Identifier: Apache-2.0
"""Model → text: pure, deterministic, and every line knows the object and the template that it came from.

The text is in ``templates``, one macro for each kind of object; the modules here choose which are called, in which order, and
with which derived values.
"""
