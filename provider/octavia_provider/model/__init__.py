# SPDX-License-Identifier: Apache-2.0
"""What a load balancer is: kinds, attributes, defaults, rules, statuses, errors.

Pure: nothing here does I/O or reads a clock. A rule is written here once and serves Check, Diff, the API, the schema
and the reference. Rules within one object stand beside its attributes; rules across objects stand in ``graph``.
"""
