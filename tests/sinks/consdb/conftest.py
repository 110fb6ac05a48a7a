# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Databases for the tests of ConsDB."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy
from postgresql_server import PostgresqlServer, start_or_skip


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """Start a server."""
    with start_or_skip() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """Address of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'consdb.sqlite3'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    engine = sqlalchemy.create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for schema in ("cdb_lsstcam", "cdb_lsstcomcam", "cdb_latiss"):
            connection.execute(sqlalchemy.text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
    engine.dispose()
    return server.url
