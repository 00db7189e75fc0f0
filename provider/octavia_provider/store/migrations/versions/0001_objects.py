# SPDX-License-Identifier: Apache-2.0
"""Installation, scopes, objects and their references, amphorae, addresses, secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(36)


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("control_plane_id", ID, nullable=False),
        sa.Column("key_check", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    _objects()
    _clouds()


def _objects() -> None:
    op.create_table(
        "scopes",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("applied", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(255)),
        sa.Column("lease_expires", sa.Float),
        sa.PrimaryKeyConstraint("id", name="pk_scopes"),
    )
    op.create_table(
        "objects",
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("scope_id", ID, nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("accepted", sa.JSON(none_as_null=True)),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("deleting", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("unique_key", sa.String(512)),
        sa.Column("owner_provider", sa.String(64)),
        sa.Column("owner_urn", sa.Text),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("updated_at", sa.String(32)),
        sa.PrimaryKeyConstraint("position", name="pk_objects"),
        sa.UniqueConstraint("id", name="uq_objects_id"),
        sa.UniqueConstraint("kind", "unique_key", name="uq_objects_kind_unique_key"),
        sa.ForeignKeyConstraint(["scope_id"], ["scopes.id"], name="fk_objects_scope_id", ondelete="CASCADE"),
    )
    op.create_index("ix_objects_kind", "objects", ["kind"])
    op.create_index("ix_objects_scope_id_kind", "objects", ["scope_id", "kind"])
    op.create_index("ix_objects_scope_id_generation", "objects", ["scope_id", "generation"])
    op.create_index("ix_objects_scope_id_deleting", "objects", ["scope_id", "deleting"])
    op.create_index("ix_objects_owner_urn_owner_provider", "objects", ["owner_urn", "owner_provider"])
    op.create_table(
        "object_references",
        sa.Column("object_id", ID, nullable=False),
        sa.Column("attribute", sa.String(64), nullable=False),
        sa.Column("target_kind", sa.String(32), nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("object_id", "attribute", name="pk_object_references"),
        sa.ForeignKeyConstraint(
            ["object_id"], ["objects.id"], name="fk_object_references_object_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_object_references_target_id_attribute", "object_references", ["target_id", "attribute"])


def _clouds() -> None:
    op.create_table(
        "amphorae",
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("load_balancer_id", ID, nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("heartbeat_key", sa.LargeBinary, nullable=False),
        sa.Column("certificate_expires", sa.String(32)),
        sa.Column("management_address", sa.String(64)),
        sa.PrimaryKeyConstraint("position", name="pk_amphorae"),
        sa.UniqueConstraint("id", name="uq_amphorae_id"),
    )
    op.create_index("ix_amphorae_load_balancer_id", "amphorae", ["load_balancer_id"])
    op.create_table(
        "addresses",
        sa.Column("pool", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("pool", "address", name="pk_addresses"),
        sa.UniqueConstraint("pool", "holder", name="uq_addresses_pool_holder"),
    )
    op.create_index("ix_addresses_holder", "addresses", ["holder"])
