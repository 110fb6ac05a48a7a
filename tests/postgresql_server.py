# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""A PostgreSQL server for tests, of which each repository gets a schema."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Self

import pytest
import sqlalchemy
from lsst.daf.butler import Config
from valkey_server import free_port

_USER = "postgres"
_INSTALLED = "/usr/lib/postgresql"


class PostgresqlServer(contextlib.AbstractContextManager["PostgresqlServer"]):
    """A server on a free port of 127.0.0.1, which trusts everybody.

    Raises
    ------
    FileNotFoundError
        Raised if PostgreSQL is not installed.
    """

    def __init__(self) -> None:
        programs = find_programs()
        # The server refuses to run as root, and must be able to get there.
        self._account = _find_account() if os.geteuid() == 0 else None
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="postgresql-"))
        if self._account is not None:
            os.chown(self._directory, self._account.pw_uid, self._account.pw_gid)
        try:
            self._run(programs / "initdb", "-A", "trust", "-U", _USER, "-N", "-E", "UTF8", "-D", self._data)
            self._start(programs)
            self._execute("CREATE EXTENSION btree_gist")
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Address of the database, for SQLAlchemy."""
        return f"postgresql+psycopg2://{_USER}@127.0.0.1:{self._port}/{_USER}"

    def make_seed_config(self, schema: str, root: pathlib.Path) -> Config:
        """Make a schema; return the configuration of a repository in it."""
        self._execute(f'CREATE SCHEMA "{schema}"')
        return Config(
            {
                "registry": {"db": self.url, "namespace": schema},
                "datastore": {"root": str(root)},
            }
        )

    def close(self) -> None:
        """End it, and remove its data."""
        pid_file = self._data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int(pid_file.read_text().splitlines()[0])
            os.kill(pid, signal.SIGINT)
            while pid_file.exists():
                os.kill(pid, 0)
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    @property
    def _data(self) -> pathlib.Path:
        return self._directory / "data"

    def _start(self, programs: pathlib.Path) -> None:
        # Another process may take the port before the server does.
        for attempt in range(5):
            self._port = free_port()
            options = (
                f"-h 127.0.0.1 -p {self._port} -k {self._directory} "
                "-c fsync=off -c full_page_writes=off -c max_connections=200"
            )
            try:
                self._run(
                    *(programs / "pg_ctl", "-D", self._data, "-l", self._directory / "log"),
                    *("-w", "-t", "60", "-o", options, "start"),
                )
            except subprocess.CalledProcessError:
                if attempt == 4:
                    raise
            else:
                return

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Break all connections, and refuse new ones while the block lasts."""
        other = self.url.removesuffix(_USER) + "template1"
        self._execute(f"ALTER DATABASE {_USER} ALLOW_CONNECTIONS false", url=other)
        try:
            self._execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_USER}'", url=other
            )
            yield
        finally:
            self._execute(f"ALTER DATABASE {_USER} ALLOW_CONNECTIONS true", url=other)

    def _execute(self, statement: str, *, url: str | None = None) -> None:
        engine = sqlalchemy.create_engine(url or self.url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(statement))
        finally:
            engine.dispose()

    def _run(self, *command: str | pathlib.Path) -> None:
        account = self._account
        subprocess.run(
            [str(part) for part in command],
            check=True,
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
        )


@contextlib.contextmanager
def start_or_skip() -> Iterator[PostgresqlServer]:
    """Start a server for a fixture; skip its tests where PostgreSQL is not installed."""
    try:
        find_programs()
    except FileNotFoundError as err:
        pytest.skip(str(err))
    with PostgresqlServer() as server:
        yield server


@functools.cache
def find_programs() -> pathlib.Path:
    """Find the directory of initdb and pg_ctl; `FileNotFoundError` if there
    is none.
    """
    versions = sorted(
        pathlib.Path(_INSTALLED).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    found = str(versions[0]) if versions else shutil.which("initdb")
    if found is None:
        raise FileNotFoundError(f"PostgreSQL is not installed: no initdb in {_INSTALLED} nor in PATH")
    return pathlib.Path(found).parent


def _find_account() -> pwd.struct_passwd:
    """Find whom to run it as, as root may not."""
    for name in (_USER, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise FileNotFoundError(f"PostgreSQL does not run as root, and there is no user {_USER} or nobody")
