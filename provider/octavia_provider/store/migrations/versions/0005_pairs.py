# SPDX-License-Identifier: Apache-2.0
"""What is kept of amphorae that are replaced by others, or are two of a pair."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. What is there is alone, has no address of its own, and was booted by no flavor that tells."""
    op.add_column("amphorae", sa.Column("retiring", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("amphorae", sa.Column("own", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("amphorae", sa.Column("flavor", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("amphorae", sa.Column("agent_version", sa.String(64)))
