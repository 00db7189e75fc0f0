# SPDX-License-Identifier: Apache-2.0
"""What operators ask of an amphora, and which certificate authority it has its certificate from and trusts."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. Of what is there nothing was asked, and there was only one authority."""
    op.add_column("amphorae", sa.Column("requests", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("amphorae", sa.Column("issuer", sa.String(64)))
    op.add_column("amphorae", sa.Column("trusted", sa.String(64)))
