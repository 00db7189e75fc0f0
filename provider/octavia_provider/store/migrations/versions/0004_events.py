# SPDX-License-Identifier: Apache-2.0
"""Events: what the control plane decided."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.String(36)


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("fold_key", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("load_balancer_id", ID),
        sa.Column("load_balancer_name", sa.String(255)),
        sa.Column("project_id", sa.String(64)),
        sa.Column("object_kind", sa.String(32)),
        sa.Column("object_id", sa.String(64)),
        sa.Column("amphora_id", ID),
        sa.Column("generation", sa.BigInteger),
        sa.Column("control_plane", sa.String(255)),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_at", sa.Float, nullable=False),
        sa.Column("last_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("sequence", name="uq_events_sequence"),
    )
    op.create_index("ix_events_fold_key", "events", ["fold_key"])
    op.create_index("ix_events_load_balancer_id_sequence", "events", ["load_balancer_id", "sequence"])
