# SPDX-License-Identifier: Apache-2.0
"""When amphorae were made and last changed. Of those that are there already it is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("amphorae", sa.Column("created_at", sa.String(32)))
    op.add_column("amphorae", sa.Column("updated_at", sa.String(32)))
