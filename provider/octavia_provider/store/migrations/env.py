# SPDX-License-Identifier: Apache-2.0
"""Alembic's environment: the connection and its transaction are those of ``store.migrate``."""

from alembic import context

from octavia_provider.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
