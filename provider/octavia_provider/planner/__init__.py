# SPDX-License-Identifier: Apache-2.0
"""plan(desired, observed) → steps, pure; and the hand that carries them out.

A plan says what can be done now. When it is done the world is looked at again, until there is nothing left to do:
so a crash at any point is repaired by running the same code again.
"""
