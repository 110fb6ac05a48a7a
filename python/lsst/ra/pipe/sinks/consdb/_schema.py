# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("SCHEMAS", "ConsDbSchema", "load_schema", "schema_uri")

import dataclasses
import functools
from collections.abc import Mapping
from types import MappingProxyType

import sqlalchemy
from felis.datamodel import Schema
from felis.metadata import MetaDataBuilder

SCHEMAS: Mapping[str, str] = MappingProxyType(
    {"LSSTCam": "cdb_lsstcam", "LSSTComCam": "cdb_lsstcomcam", "LATISS": "cdb_latiss"}
)
"""Name of ConsDB's schema for each Butler ``instrument``."""


@dataclasses.dataclass(frozen=True)
class ConsDbSchema:
    """The tables of one instrument."""

    name: str
    """Name of the schema."""

    version: str
    """Its version."""

    tables: Mapping[str, sqlalchemy.Table]
    """Tables by name."""

    units: Mapping[str, Mapping[str, str]]
    """Unit of each column that has one, by table and column, as the schema
    file spells it."""

    @property
    def metadata(self) -> sqlalchemy.MetaData:
        """What the tables belong to (`sqlalchemy.schema.MetaData`)."""
        return next(iter(self.tables.values())).metadata


def schema_uri(instrument: str) -> str:
    """Return where the schema file of an instrument is.

    Parameters
    ----------
    instrument
        Butler ``instrument``.

    Returns
    -------
    uri
        A ``resource`` URI, which ``felis`` understands as well.

    Raises
    ------
    ValueError
        Raised if ConsDB has no tables for the instrument.
    """
    if instrument not in SCHEMAS:
        raise ValueError(f"ConsDB has no tables for {instrument!r}; expected one of {', '.join(SCHEMAS)}.")
    return f"resource://lsst.sdm.schemas/{SCHEMAS[instrument]}.yaml"


@functools.cache
def load_schema(instrument: str, *, named: bool) -> ConsDbSchema:
    """Load and validate the schema file of an instrument.

    Parameters
    ----------
    instrument
        Butler ``instrument``.
    named
        Whether the tables are in a schema with the name of the file's, as in
        PostgreSQL.  SQLite has none.

    Returns
    -------
    schema
        The tables.

    Raises
    ------
    ValueError
        Raised if ConsDB has no tables for the instrument, or felis does not
        accept the file.
    """
    content = Schema.from_uri(schema_uri(instrument), context={"id_generation": True})
    metadata = MetaDataBuilder(content, apply_schema_to_metadata=named).build()
    version = content.version
    return ConsDbSchema(
        name=content.name,
        version=str(getattr(version, "current", version)),
        tables=MappingProxyType({table.name: table for table in metadata.tables.values()}),
        units=MappingProxyType(
            {
                table.name: {
                    column.name: str(column.ivoa_unit or column.fits_tunit)
                    for column in table.columns
                    if column.ivoa_unit or column.fits_tunit
                }
                for table in content.tables
            }
        ),
    )
