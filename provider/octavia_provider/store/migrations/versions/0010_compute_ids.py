# SPDX-License-Identifier: Apache-2.0
"""What the cloud calls the instance of an amphora."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. In a cloud without images it is the amphora's own id; of servers that are there it is known at their next boot."""
    op.add_column("amphorae", sa.Column("compute_id", sa.String(64)))
    op.execute(
        "UPDATE amphorae SET compute_id = id WHERE image_id IS NULL AND management_address IS NOT NULL AND host_id IS NULL"
    )
