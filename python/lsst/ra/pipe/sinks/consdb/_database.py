# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("ConsDbDatabase", "Outcome")

import contextlib
import enum
import math
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import sqlalchemy
import sqlalchemy.exc
from sqlalchemy.dialects import postgresql, sqlite

from lsst.utils.db_auth import DbAuth, DbAuthNotFoundError

from ._errors import ConsDbError, ConsDbUnavailableError
from ._schema import ConsDbSchema, load_schema

_CONNECT_SECONDS = 10
"""Time (s) in which PostgreSQL must take a connection."""

_LOCK_SECONDS = 60
"""Time (s) to wait for other writers of an SQLite file."""

_POSTGRESQL_OPTIONS = "-c statement_timeout=10000 -c lock_timeout=5000"
"""Times (ms) after which PostgreSQL gives a statement up."""

_POSTGRESQL_KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""After 25 s a connection to a machine that is gone is given up; the last one
is in ms."""

_CREATE_SECONDS = 60
"""Time (s) to wait in PostgreSQL for another process that makes the tables."""

_SQLITE_OUTAGES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR})
"""What SQLite may say once, and not the next time."""


class Outcome(enum.StrEnum):
    """What became of a row."""

    WRITTEN = "written"
    """It is new, or has replaced what it may replace."""

    UNCHANGED = "unchanged"
    """It was there already, and stays as it was."""


class ConsDbDatabase:
    """The tables of one instrument in a database.

    Parameters
    ----------
    url
        Where the database is, for SQLAlchemy: SQLite or PostgreSQL.  In it
        ``{instrument}`` stands for the name of the instrument, in lower case.
        Without a password, that of PostgreSQL is looked up as for a Butler, in
        ``~/.lsst/db-auth.yaml`` or the file that ``LSST_DB_AUTH`` names, and
        by libpq.
    instrument
        Butler ``instrument``.

    Raises
    ------
    ValueError
        Raised if the URL is of another kind, or ConsDB has no tables for the
        instrument.

    Notes
    -----
    Any number of processes may write.  Each write is one transaction.  It says
    itself what happens to a row that is there already, so that it does not
    matter who comes first.
    """

    def __init__(self, url: str, instrument: str) -> None:
        self.instrument = instrument
        self._url = _parse_url(url.replace("{instrument}", instrument.lower()))
        self._dialect = self._url.get_backend_name()
        self.schema: ConsDbSchema = load_schema(instrument, named=self._dialect == "postgresql")
        self._engine = _make_engine(self._url)
        self._views: frozenset[str] | None = None

    @property
    def name(self) -> str:
        """Address of the database, without a password (`str`)."""
        return _show(self._url)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def prepare(self, tables: Mapping[str, Collection[str]], *, create: bool = True) -> None:
        """See that there is what is to be written to.

        Parameters
        ----------
        tables
            Names of the columns that will be written, by table.
        create
            Whether to create the tables of the schema file that are not there.

        Raises
        ------
        ConsDbError
            Raised if a table or a column is missing; the message names all.
        ConsDbUnavailableError
            Raised if the database does not answer.
        """
        if self._views is not None:
            return
        with self._errors(f"the tables of {self.schema.name}"):
            found = self._inspect(tables)
            if create and any(columns is None for columns in found.values()):
                self._create()
                found = self._inspect(tables)
            self._check(tables, found)
            names = sqlalchemy.inspect(self._engine).get_view_names(schema=self.schema.metadata.schema)
        self._views = frozenset(names)

    @contextlib.contextmanager
    def transaction(self, what: str) -> Iterator[sqlalchemy.Connection]:
        """Begin a transaction, which ends with the block.

        Parameters
        ----------
        what
            What is written, for error messages.

        Yields
        ------
        connection
            The connection.

        Raises
        ------
        ConsDbError
            Raised if the database refuses what is written.
        ConsDbUnavailableError
            Raised if the database does not answer.
        """
        with self._errors(what), self._engine.begin() as connection:
            yield connection

    def is_view(self, table: str) -> bool:
        """Tell whether a table is a view, as the visits at the observatory are
        of the exposures.

        Parameters
        ----------
        table
            Name of the table.

        Returns
        -------
        is_view
            Whether it is one.
        """
        assert self._views is not None, "The database was prepared."
        return table in self._views

    def insert(
        self,
        connection: sqlalchemy.Connection,
        table: str,
        row: Mapping[str, Any],
        *,
        update: Collection[str] = (),
        where: sqlalchemy.ColumnElement[bool] | None = None,
        more_of: str | None = None,
    ) -> Outcome:
        """Insert a row, unless its key is there.

        Parameters
        ----------
        connection
            Connection within a `transaction`.
        table
            Name of the table.
        row
            Values by column; NaN becomes NULL.
        update
            Columns to set where the key is there, if they may be.
        where
            When they may be.
        more_of
            A column that, when it is larger in the new row or was NULL, allows
            the update instead.

        Returns
        -------
        outcome
            What became of the row.

        Raises
        ------
        ConsDbError
            Raised if a value does not fit its column.
        """
        target = self.schema.tables[table]
        values = _as_values(target, row)
        statement = _INSERTS[self._dialect](target).values(values)
        if more_of is not None:
            there, new = target.c[more_of], statement.excluded[more_of]
            where = there.is_(None) | (there < new)
        if update:
            statement = statement.on_conflict_do_update(
                index_elements=list(target.primary_key.columns),
                set_={column: statement.excluded[column] for column in update},
                where=where,
            )
        else:
            statement = statement.on_conflict_do_nothing()
        first = next(iter(target.primary_key.columns))
        with _refusals(target, row):
            done = connection.execute(statement.returning(first)).first()
        return Outcome.UNCHANGED if done is None else Outcome.WRITTEN

    def copy(
        self,
        connection: sqlalchemy.Connection,
        source: str,
        target: str,
        key: Mapping[str, Any],
        *,
        renamed: Mapping[str, str],
    ) -> None:
        """Copy a row to another table, unless it is there.

        Parameters
        ----------
        connection
            Connection within a `transaction`.
        source, target
            Names of the tables.
        key
            Values of the key's columns.
        renamed
            Names of columns that are called otherwise in the target.
        """
        from_table, to_table = self.schema.tables[source], self.schema.tables[target]
        pairs = [(column, renamed.get(column.name, column.name)) for column in from_table.columns]
        pairs = [(column, name) for column, name in pairs if name in to_table.columns]
        select = sqlalchemy.select(*(column for column, _ in pairs)).where(
            *(from_table.c[name] == value for name, value in key.items())
        )
        statement = _INSERTS[self._dialect](to_table).from_select([name for _, name in pairs], select)
        with _refusals(to_table, key):
            connection.execute(statement.on_conflict_do_nothing())

    def _inspect(self, tables: Collection[str]) -> dict[str, set[str] | None]:
        """Return the columns of each table; `None` if there is no such."""
        inspector = sqlalchemy.inspect(self._engine)
        schema = self.schema.metadata.schema
        found: dict[str, set[str] | None] = {}
        for table in tables:
            try:
                found[table] = {column["name"] for column in inspector.get_columns(table, schema=schema)}
            except sqlalchemy.exc.NoSuchTableError:
                found[table] = None
        return found

    def _create(self) -> None:
        """Create the tables; of several processes one does it."""
        with self._engine.begin() as connection:
            if self._dialect == "postgresql":
                for limit in ("lock_timeout", "statement_timeout"):
                    connection.exec_driver_sql(f"SET LOCAL {limit} = '{_CREATE_SECONDS}s'")
                lock = sqlalchemy.func.hashtext(f"ra_pipe {self.schema.name}")
                connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(lock)))
                connection.execute(sqlalchemy.schema.CreateSchema(self.schema.name, if_not_exists=True))
            self.schema.metadata.create_all(connection)

    def _check(self, tables: Mapping[str, Collection[str]], found: Mapping[str, set[str] | None]) -> None:
        missing = [table for table, columns in found.items() if columns is None]
        missing += [
            f"{table}.{column}"
            for table, columns in tables.items()
            for column in columns
            if column not in (found[table] or {column})
        ]
        if missing:
            raise ConsDbError(
                f"{self.name} lacks {', '.join(missing)} of {self.schema.name} version "
                f"{self.schema.version}: is it of another version, or another instrument?"
            )

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Translate the errors of the database."""
        try:
            yield
        except sqlalchemy.exc.DBAPIError as err:
            # It may come back without tables, or with more columns.
            self._views = None
            if _is_outage(err):
                raise ConsDbUnavailableError(
                    f"ConsDB at {self.name} does not answer: {what}: {err.orig}"
                ) from err
            raise ConsDbError(f"ConsDB at {self.name} refuses {what}: {err.orig}") from err


_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def _is_outage(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Tell whether the same statement may succeed later.

    For PostgreSQL time limits and deadlocks are operational errors, too.
    SQLite calls nearly everything so, also a table that is not there.
    """
    if isinstance(error.orig, sqlite3.Error):
        # The lower byte; the others tell more.
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_OUTAGES
    return isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError))


def _show(url: sqlalchemy.URL) -> str:
    """Render an address without a password, which may be in the query, too."""
    return url.set(query={}).render_as_string(hide_password=True)


def _parse_url(text: str) -> sqlalchemy.URL:
    """Parse the address of a database.  No message shows what is behind
    ``://``: that may be a password.
    """
    try:
        url = sqlalchemy.make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # A ValueError is for the port.
        raise ValueError(
            "The address of ConsDB is not one: expected sqlite:///FILE or postgresql://HOST[:PORT]/DATABASE, "
            f"got {_redact(text)}"
        ) from None
    if url.get_backend_name() not in _INSERTS:
        raise ValueError(
            f"ConsDB may be in SQLite or PostgreSQL, not in {url.get_backend_name()!r} ({_redact(text)})."
        )
    # The driver that this package's extra installs, whatever SQLAlchemy's is.
    return url.set(drivername="postgresql+psycopg2") if url.drivername == "postgresql" else url


def _redact(text: str) -> str:
    """Show no more of what should be an address than its scheme."""
    scheme, separator, _ = text.partition("://")
    return f"{scheme}://..." if separator else "a text without ://"


def _make_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return _make_sqlite_engine(url)
        return _make_postgresql_engine(url)
    except ModuleNotFoundError as err:
        raise ValueError(
            f"{_show(url)} needs {err.name}; psycopg2 comes with lsst-ra-pipe[postgresql]."
        ) from err
    except sqlalchemy.exc.ArgumentError:
        # Its message has the address.
        raise ValueError(
            "The address of ConsDB is not one that its driver takes: expected sqlite:///FILE or "
            f"postgresql://HOST[:PORT]/DATABASE, got {url.drivername}://..."
        ) from None


def _make_sqlite_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        url, poolclass=sqlalchemy.NullPool, connect_args={"timeout": _LOCK_SECONDS}
    )
    sqlalchemy.event.listen(engine, "connect", _prepare_sqlite)
    sqlalchemy.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_postgresql_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    arguments: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, **_POSTGRESQL_KEEPALIVES}
    # What the address says goes first.
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    options = url.query.get("options", os.environ.get("PGOPTIONS", ""))
    arguments["options"] = f"{_POSTGRESQL_OPTIONS} {options}".strip()
    return sqlalchemy.create_engine(
        _with_password(url), pool_size=1, max_overflow=1, pool_pre_ping=True, connect_args=arguments
    )


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Transactions begin where we say so, not where the driver thinks.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sqlalchemy.Connection) -> None:
    # At once as a writer: one that reads first could not become one later.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _with_password(url: sqlalchemy.URL) -> sqlalchemy.URL:
    if url.password is not None or url.host is None or url.database is None:
        return url
    try:
        user, password = DbAuth("~/.lsst/db-auth.yaml", "LSST_DB_AUTH").getAuth(
            url.get_backend_name(), url.username, url.host, url.port, url.database
        )
    except DbAuthNotFoundError:
        return url
    return url.set(username=user, password=password)


@contextlib.contextmanager
def _refusals(table: sqlalchemy.Table, row: Mapping[str, Any]) -> Iterator[None]:
    """Tell which row of which table the database refuses."""
    try:
        yield
    except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.DataError, sqlalchemy.exc.ProgrammingError) as err:
        raise ConsDbError(f"ConsDB refuses {_describe(table, row)}: {err.orig}") from err


def _describe(table: sqlalchemy.Table, row: Mapping[str, Any]) -> str:
    key = ", ".join(f"{column.name}={row.get(column.name)}" for column in table.primary_key.columns)
    return f"{table.name} ({key})"


def _as_values(table: sqlalchemy.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values to what their columns take."""
    values = {}
    for name, value in row.items():
        try:
            values[name] = _as_value(table.c[name].type, value)
        except (KeyError, TypeError, ValueError) as err:
            raise ConsDbError(f"ConsDB cannot have {_describe(table, row)}: column {name}: {err}") from err
    for column in table.columns:
        if not column.nullable and values.get(column.name) is None:
            raise ConsDbError(
                f"ConsDB cannot have {_describe(table, row)}: column {column.name} must have a value."
            )
    return values


def _as_value(kind: sqlalchemy.types.TypeEngine[Any], value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(kind, sqlalchemy.Boolean):
        return bool(value)
    if isinstance(kind, sqlalchemy.Integer):
        return _as_integer(kind, value)
    if isinstance(kind, (sqlalchemy.Float, sqlalchemy.Numeric)):
        return float(value)
    if isinstance(kind, sqlalchemy.String):
        if kind.length is not None and len(str(value)) > kind.length:
            raise ValueError(f"it takes {kind.length} characters, and {value!r} has {len(str(value))}")
        return str(value)
    return value


def _as_integer(kind: sqlalchemy.Integer, value: Any) -> int:
    rounded: int = round(value)
    if not isinstance(kind, sqlalchemy.BigInteger) and abs(rounded) >= 2**31:
        raise ValueError(f"it takes integers of 32 bits, got {value!r}")
    return rounded
