# SPDX-License-Identifier: Apache-2.0
"""On which amphora of a group an amphora of a load balancer is."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. What is there has an instance of its own."""
    op.add_column("amphorae", sa.Column("host_id", sa.String(36)))
    op.create_index("ix_amphorae_host_id", "amphorae", ["host_id"])
