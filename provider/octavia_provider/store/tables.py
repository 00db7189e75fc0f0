# SPDX-License-Identifier: Apache-2.0
"""The tables. What a table looks like on disk is decided by ``migrations``; a test holds the two together.

Only what SQLite and PostgreSQL share is used. Each lookup that a write makes has its index: inserting one member among
thousands reads a handful of rows.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
ID = String(36)

# One row: who this control plane is. key_check is a known text under the key file's key: it tells a wrong key.
INSTALLATION = Table(
    "installation",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("control_plane_id", ID, nullable=False),
    Column("key_check", LargeBinary, nullable=False),
    Column("created_at", String(32), nullable=False),
)

# What is reconciled as one. lease_expires: seconds since the epoch, by the clock of the process that wrote it.
SCOPES = Table(
    "scopes",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("applied", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("holder", String(255)),
    Column("lease_expires", Float),
)

# position is the order of creation. unique_key is NULL while the object is being deleted, or where nothing is unique.
OBJECTS = Table(
    "objects",
    METADATA,
    Column("position", Integer, primary_key=True),
    Column("id", ID, nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("scope_id", ID, ForeignKey("scopes.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("accepted", JSON(none_as_null=True)),
    Column("generation", BigInteger, nullable=False),
    Column("deleting", Boolean(create_constraint=False), nullable=False),
    Column("error", Text),
    Column("unique_key", String(512)),
    Column("owner_provider", String(64)),
    Column("owner_urn", Text),
    Column("confirmed", Boolean(create_constraint=False), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32)),
    UniqueConstraint("kind", "unique_key"),
    Index("ix_objects_kind", "kind"),
    Index("ix_objects_scope_id_kind", "scope_id", "kind"),
    Index("ix_objects_scope_id_generation", "scope_id", "generation"),
    Index("ix_objects_scope_id_deleting", "scope_id", "deleting"),
    Index("ix_objects_owner_urn_owner_provider", "owner_urn", "owner_provider"),
)

# Who names whom: one row for each attribute of an object that holds the id of another.
REFERENCES = Table(
    "object_references",
    METADATA,
    Column("object_id", ID, ForeignKey("objects.id", ondelete="CASCADE"), primary_key=True),
    Column("attribute", String(64), primary_key=True),
    Column("target_kind", String(32), nullable=False),
    Column("target_id", ID, nullable=False),
    Index("ix_object_references_target_id_attribute", "target_id", "attribute"),
)

# Amphorae outlive the load balancer's row until their hosts are gone, so there is no foreign key.
AMPHORAE = Table(
    "amphorae",
    METADATA,
    Column("position", Integer, primary_key=True),
    Column("id", ID, nullable=False, unique=True),
    Column("load_balancer_id", ID, nullable=False),
    Column("role", String(32), nullable=False),
    Column("status", String(32), nullable=False),
    Column("heartbeat_key", LargeBinary, nullable=False),
    Column("certificate_expires", String(32)),
    Column("management_address", String(64)),
    Column("created_at", String(32)),
    Column("updated_at", String(32)),
    Column("retiring", Boolean(create_constraint=False), nullable=False),
    Column("own", JSON, nullable=False),
    Column("flavor", JSON, nullable=False),
    Column("agent_version", String(64)),
    Column("requests", JSON, nullable=False),
    Column("issuer", String(64)),
    Column("trusted", String(64)),
    Column("host_id", ID),
    Column("image_id", String(64)),
    Column("compute_id", String(64)),
    Index("ix_amphorae_load_balancer_id", "load_balancer_id"),
    Index("ix_amphorae_host_id", "host_id"),
)

ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("pool", String(64), primary_key=True),
    Column("address", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    UniqueConstraint("pool", "holder"),
    Index("ix_addresses_holder", "holder"),
)

# The processes that serve this database. expires: as lease_expires; who has not said so until then is not alive.
CONTROL_PLANES = Table(
    "control_planes",
    METADATA,
    Column("name", String(255), primary_key=True),
    Column("machine", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("heartbeat_receiver", String(64)),
    Column("expires", Float, nullable=False),
)

SECRETS = Table(
    "secrets",
    METADATA,
    Column("name", String(255), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# No foreign key: events outlive their load balancer. id: the sequence it was first recorded at. Times: seconds since the epoch.
EVENTS = Table(
    "events",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("fold_key", String(32), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("load_balancer_id", ID),
    Column("load_balancer_name", String(255)),
    Column("project_id", String(64)),
    Column("object_kind", String(32)),
    Column("object_id", String(64)),
    Column("amphora_id", ID),
    Column("generation", BigInteger),
    Column("control_plane", String(255)),
    Column("data", JSON, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Index("ix_events_fold_key", "fold_key"),
    Index("ix_events_load_balancer_id_sequence", "load_balancer_id", "sequence"),
)
