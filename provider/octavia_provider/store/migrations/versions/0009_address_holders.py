# SPDX-License-Identifier: Apache-2.0
"""Room for the holder of an amphora's own addresses: its load balancer's id and its own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """PostgreSQL refused what SQLite, which heeds no length, took."""
    with op.batch_alter_table("addresses") as table:
        table.alter_column("holder", type_=sa.String(128), existing_type=sa.String(64), existing_nullable=False)
