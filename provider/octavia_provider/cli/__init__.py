# SPDX-License-Identifier: Apache-2.0
"""octaviactl: the operator's tool. Each command lives in a module of its own and is imported when it is run."""
