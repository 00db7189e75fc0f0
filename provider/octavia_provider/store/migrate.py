# SPDX-License-Identifier: Apache-2.0
"""Bringing a database to the schema of this code, when it is opened.

One that is up to date costs one SELECT, and a new one has the tables of the code at once, which is what all migrations come to. Alembic is
imported only where an older one has to be brought up to date.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection, Engine

from octavia_provider.model.errors import Refused

from .tables import METADATA

HEAD = "0010"
MIGRATIONS = Path(__file__).with_name("migrations")

log = structlog.get_logger(__name__)


def migrate(engine: Engine) -> None:
    """Bring the database up to ``HEAD``; ``Refused`` when a newer version of the code has written it."""
    with engine.begin() as connection:  # a write transaction: of two processes that start at once, one migrates
        found = _version(connection)
        if found is None and (tables := inspect(connection).get_table_names()):
            raise Refused(
                f"has tables of something else ({', '.join(tables[:3])}), or is damaged",
                subject=f"database {engine.url.database}",
                hint="move it away, and put the database of octavia in its place; `octaviactl adopt` tells of its copy",
            )
        if found is None:
            _create(connection)
        elif found != HEAD:
            upgrade(connection, found)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return str(row[0]) if row else None


def _create(connection: Connection) -> None:
    METADATA.create_all(connection, checkfirst=False)
    version = "version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)"  # as Alembic makes it
    connection.execute(text(f"CREATE TABLE alembic_version ({version})"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def upgrade(connection: Connection, found: str | None) -> None:
    """Run the migrations that come after ``found``, by Alembic."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise Refused(
            f"has schema {found}, which is newer than this version of the code knows (it knows {HEAD})",
            subject=f"database {connection.engine.url.database}",
            hint="upgrade pulumi-resource-octavia and octaviactl, or restore the backup made before the upgrade",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
    log.info("store migrated", before=found, after=HEAD)
