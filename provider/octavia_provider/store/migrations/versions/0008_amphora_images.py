# SPDX-License-Identifier: Apache-2.0
"""Which image an amphora was made from."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Of what is there it is not known."""
    op.add_column("amphorae", sa.Column("image_id", sa.String(64)))
