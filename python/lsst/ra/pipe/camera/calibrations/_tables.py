# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("CalibTable", "MetadataScalar", "read_tables", "write_tables")

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence

import astropy.io.fits
import astropy.table
import numpy as np
from astropy.io.ascii import InconsistentTableError
from astropy.utils.exceptions import AstropyUserWarning

from ._errors import CalibrationError

type MetadataScalar = str | int | float | bool
"""A value that a FITS card and an ECSV header can both hold."""

_UNREADABLE = (OSError, ValueError, TypeError, KeyError, InconsistentTableError, AstropyUserWarning)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibTable:
    """One table of a calibration file of the Science Pipelines.

    It stands between the two file formats and the calibration types.
    (`astropy.table.Table` cannot read the zero-width columns that
    the Science Pipelines write to FITS.)
    """

    columns: Mapping[str, np.ndarray]
    """Columns of shape ``(n_rows,)`` or ``(n_rows, width)``."""

    metadata: Mapping[str, MetadataScalar] = dataclasses.field(default_factory=dict)
    """Header of the table; unset and empty values are left out."""

    source: str = ""
    """File that the table came from, for messages."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def numbers(self, name: str) -> np.ndarray:
        """Return a column of numbers.

        Parameters
        ----------
        name
            Name of the column.

        Returns
        -------
        column
            Float64 array of shape ``(n_rows,)`` or ``(n_rows, width)``.

        Raises
        ------
        CalibrationError
            Raised if the column is missing or does not hold numbers.
        """
        column = self._column(name)
        try:
            return np.asarray(column, dtype=np.float64)
        except ValueError:
            raise self._error(name, "a column of numbers", f"{column.dtype}") from None

    def integers(self, name: str) -> np.ndarray:
        """Return a column of whole numbers.

        Parameters
        ----------
        name
            Name of the column.

        Returns
        -------
        column
            Int64 array of shape ``(n_rows,)`` or ``(n_rows, width)``.

        Raises
        ------
        CalibrationError
            Raised if the column is missing or a value is not whole.
        """
        values = self.numbers(name)
        bad = ~(np.isfinite(values) & (values == np.rint(values)))
        if bad.any():
            raise self._error(name, "whole numbers", values[bad][0])
        return values.astype(np.int64)

    def strings(self, name: str) -> list[str]:
        """Return a column of strings.

        Parameters
        ----------
        name
            Name of the column.

        Returns
        -------
        values
            One string a row, without trailing blanks.

        Raises
        ------
        CalibrationError
            Raised if the column is missing or has several values a row.
        """
        column = self._column(name)
        if column.ndim != 1:
            raise self._error(name, "one string a row", f"an array of shape {column.shape}")
        return [str(value).rstrip() for value in column]

    def by_amplifier(self, name: str, amplifiers: Sequence[str]) -> dict[str, float]:
        """Return a column of one number a row, keyed by amplifier name.

        Parameters
        ----------
        name
            Name of the column.
        amplifiers
            Amplifier of each row.

        Returns
        -------
        values
            The number of each amplifier.

        Raises
        ------
        CalibrationError
            Raised if the column is missing or has several values a row.
        """
        column = self.numbers(name)
        if column.ndim != 1:
            raise self._error(name, "one number a row", f"an array of shape {column.shape}")
        return {amplifier: float(value) for amplifier, value in zip(amplifiers, column, strict=True)}

    def amplifiers(self, name: str) -> list[str]:
        """Return the column of amplifier names, which must be unique.

        Parameters
        ----------
        name
            Name of the column.

        Returns
        -------
        amplifiers
            One name a row.

        Raises
        ------
        CalibrationError
            Raised if there are no rows, or a name is empty or repeated.
        """
        names = self.strings(name)
        if not names or "" in names or len(set(names)) != len(names):
            raise self._error(name, "one row for each amplifier", names)
        return names

    def _column(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise self._error("columns", f"a column {name}", f"only {', '.join(self.columns) or 'none'}")
        return self.columns[name]

    def _error(self, field: str, expected: object, found: object) -> CalibrationError:
        return CalibrationError(field=field, expected=expected, found=found, source=self.source)

    @classmethod
    def from_astropy(cls, table: astropy.table.Table, *, source: str = "") -> CalibTable:
        """Convert an Astropy table, as ECSV files and ``IsrCalib`` give it.

        Parameters
        ----------
        table
            Table to convert.
        source
            File that it came from.

        Returns
        -------
        table
            The same columns as plain arrays.
        """
        columns = {name: _plain(table[name]) for name in table.colnames}
        return cls(columns=columns, metadata=_clean(table.meta.items()), source=source)


def read_tables(path: str | os.PathLike[str]) -> list[CalibTable]:
    """Read all tables of a FITS or ECSV file.

    Parameters
    ----------
    path
        Local file; its name ends in ``.fits``, ``.fits.gz``, ``.fit`` or
        ``.ecsv``.

    Returns
    -------
    tables
        At least one table, in the order of the file.

    Raises
    ------
    CalibrationError
        Raised if the file cannot be read or holds no table.
    """
    source = os.fspath(path)
    ecsv = _is_ecsv(source)
    try:
        tables = [_read_ecsv(source)] if ecsv else _read_fits(source)
    except CalibrationError:
        raise
    except _UNREADABLE as error:
        kind = "ECSV" if ecsv else "FITS"
        raise CalibrationError(
            source=source, field="file", expected=f"a readable {kind} file", found=repr(error)
        ) from error
    if not tables:
        raise CalibrationError(source=source, field="file", expected="a table", found="none")
    return tables


def write_tables(
    path: str | os.PathLike[str], tables: Sequence[CalibTable], *, overwrite: bool = False
) -> None:
    """Write tables as the Science Pipelines do.

    Parameters
    ----------
    path
        File to write; see `read_tables` for its name.
    tables
        Tables to write. ECSV holds one only.
    overwrite
        Whether to replace an existing file.

    Raises
    ------
    CalibrationError
        Raised if several tables are to be written to ECSV.
    FileExistsError
        Raised if the file exists and ``overwrite`` is not set.
    """
    target = pathlib.Path(path)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target}: exists, and overwriting was not asked for")
    ecsv = _is_ecsv(str(target))
    if ecsv and len(tables) != 1:
        raise CalibrationError(
            source=str(target), field="format", expected="FITS (ECSV holds one table)", found="ECSV"
        )
    with warnings.catch_warnings():
        # Cards longer than eight characters become HIERARCH cards, on purpose.
        warnings.filterwarnings("ignore", category=astropy.io.fits.verify.VerifyWarning)
        if ecsv:
            _to_astropy(tables[0]).write(target, format="ascii.ecsv", overwrite=True)
        else:
            hdus = [astropy.io.fits.table_to_hdu(_to_astropy(table)) for table in tables]
            hdu_list = astropy.io.fits.HDUList([astropy.io.fits.PrimaryHDU(), *hdus])
            hdu_list.writeto(target, overwrite=True)


def _is_ecsv(name: str) -> bool:
    lower = name.lower()
    if lower.endswith(".ecsv"):
        return True
    if lower.endswith((".fits", ".fits.gz", ".fit", ".fits.fz")):
        return False
    raise CalibrationError(
        source=name,
        field="file name",
        expected=".fits or .ecsv",
        found=pathlib.PurePath(name).suffix or "none",
    )


def _read_ecsv(source: str) -> CalibTable:
    return CalibTable.from_astropy(astropy.table.Table.read(source, format="ascii.ecsv"), source=source)


def _read_fits(source: str) -> list[CalibTable]:
    # Astropy only warns of a truncated file, and may fill it up with zeros.
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(truncated|Error validating header)")
        with astropy.io.fits.open(source, memmap=False) as hdus:
            return [_from_hdu(hdu, source) for hdu in hdus if type(hdu) is astropy.io.fits.BinTableHDU]


def _from_hdu(hdu: astropy.io.fits.BinTableHDU, source: str) -> CalibTable:
    n_rows = int(hdu.header["NAXIS2"])
    columns = {}
    for name, dimension in zip(hdu.columns.names, hdu.columns.dims, strict=True):
        # A zero-width column: there are no bytes in the file, and Astropy
        # returns an array without rows.
        if dimension is not None and "0" in dimension.strip("()").split(","):
            columns[name] = np.empty((n_rows, 0))
        else:
            columns[name] = _plain(hdu.data[name])
    if any(len(column) != n_rows for column in columns.values()):
        lengths = {name: len(column) for name, column in columns.items()}
        raise CalibrationError(source=source, field="NAXIS2", expected=f"{n_rows} rows", found=lengths)
    structure = hdu.header.copy(strip=True)
    cards = [(card.keyword, card.value) for card in structure.cards if not card.keyword.startswith("TDIM")]
    return CalibTable(columns=columns, metadata=_clean(cards), source=source)


def _plain(column: object) -> np.ndarray:
    """Return a native-endian array without mask or units; bytes as text."""
    if isinstance(column, np.ma.MaskedArray):
        column = column.filled(
            "" if column.dtype.kind in "SUO" else np.nan if column.dtype.kind == "f" else 0
        )
    array = np.asarray(column)
    if array.dtype.kind == "S":
        return np.char.decode(array, "ascii")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _clean(cards: Iterable[tuple[object, object]]) -> dict[str, MetadataScalar]:
    """Keep the cards that hold a scalar; comments and unset ones are left."""
    kept: dict[str, MetadataScalar] = {}
    for keyword, value in cards:
        if isinstance(value, np.generic):
            value = value.item()
        if str(keyword) in {"", "COMMENT", "HISTORY"} or value == "":
            continue
        if isinstance(value, str | bool | int | float):
            kept[str(keyword)] = value
    return kept


def _to_astropy(table: CalibTable) -> astropy.table.Table:
    columns = dict(table.columns)
    for name, column in columns.items():
        if column.ndim > 1 and column.shape[1] == 0:
            raise CalibrationError(source=table.source, field=name, expected="a width of 1 or more", found=0)
    return astropy.table.Table(columns, meta=dict(table.metadata))
