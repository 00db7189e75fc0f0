# SPDX-License-Identifier: Apache-2.0
"""Model → text: pure, deterministic, and every line knows the object it came from.

Written as plain line builders rather than templates: a line carries its owner, which a template cannot say, and a
backend of a thousand members costs a few milliseconds.
"""
