# SPDX-License-Identifier: Apache-2.0
"""The amphora's own interfaces, where no cloud configures them from outside (ADR 27)."""
