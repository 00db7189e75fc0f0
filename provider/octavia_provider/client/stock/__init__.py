# SPDX-License-Identifier: Apache-2.0
"""The client of an Octavia that somebody else runs (``driver: octavia``); see docs/adr/0031.

service    ``StockClient``: the calls of ``client.Client``, with the waits that this service needs
targets    what a write is about, and the pauses of its waits
turns      one write at a time for each load balancer
members    members of one pool that are written at once, in one call
faults     its errors → ``model.errors``
forms      objects and bodies: its form, and the model's
"""
