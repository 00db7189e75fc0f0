# SPDX-License-Identifier: Apache-2.0
"""What the cloud calls the instance of an amphora."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. The control plane writes it when it next looks at what runs."""
    op.add_column("amphorae", sa.Column("compute_id", sa.String(64)))
