# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DetectorIdentity", "IsrCalibration", "frozen_array")

import abc
import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from lsst.images.cameras import Detector

from ._errors import CalibrationError
from ._tables import CalibTable, MetadataScalar, read_tables, write_tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorIdentity:
    """The detector that a calibration was made for; what is not known is `None`."""

    instrument: str | None = None
    """Butler name of the instrument."""

    id: int | None = None
    """Butler detector number."""

    name: str | None = None
    """Full name, for example ``R22_S11``."""

    serial: str | None = None
    """Serial number of the CCD."""

    @classmethod
    def of(cls, detector: Detector) -> Self:
        """Return the identity of a detector.

        Parameters
        ----------
        detector
            Detector of a camera.

        Returns
        -------
        identity
            All four fields set.
        """
        return cls(instrument=detector.instrument, id=detector.id, name=detector.name, serial=detector.serial)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, MetadataScalar], *, source: str = "") -> Self:
        """Return the identity that a header of the Science Pipelines gives.

        Parameters
        ----------
        metadata
            Header of a calibration's first table.
        source
            File, for messages.

        Returns
        -------
        identity
            Fields without a keyword are `None`.

        Raises
        ------
        CalibrationError
            Raised if ``DETECTOR`` is not a number.
        """
        number = metadata.get("DETECTOR")
        try:
            detector_id = None if number is None else int(number)
        except ValueError:
            raise CalibrationError(
                source=source, field="DETECTOR", expected="a detector number", found=repr(number)
            ) from None

        def first(*keywords: str) -> str | None:
            return next((str(metadata[key]) for key in keywords if key in metadata), None)

        return cls(
            instrument=first("INSTRUME"),
            id=detector_id,
            name=first("DET_NAME", "DETECTOR_NAME"),
            serial=first("DET_SER", "DETECTOR_SERIAL"),
        )

    def to_metadata(self) -> dict[str, MetadataScalar]:
        """Return the header cards that the Science Pipelines expect.

        Returns
        -------
        metadata
            One card for each known field, and raft and slot.
        """
        raft, _, slot = (self.name or "").partition("_")
        cards: dict[str, MetadataScalar | None] = {
            "INSTRUME": self.instrument,
            "RAFTNAME": raft if slot else None,
            "SLOTNAME": slot or None,
            "DETECTOR": self.id,
            "DET_NAME": self.name,
            "DET_SER": self.serial,
        }
        return {key: value for key, value in cards.items() if value is not None}

    def check(self, detector: Detector, *, source: str = "", check_serial: bool = True) -> None:
        """Refuse a detector that is not this one.

        Parameters
        ----------
        detector
            Detector on which the calibration is to be used.
        source
            File, for messages.
        check_serial
            Whether the serial numbers must agree. LATISS' camera definition
            is known to disagree with its headers.

        Raises
        ------
        CalibrationError
            Raised if a field that is known differs.
        """
        wanted = type(self).of(detector)
        for field in ("instrument", "id", "name", "serial"):
            expected, found = getattr(wanted, field), getattr(self, field)
            if found is None or (field == "serial" and not check_serial):
                continue
            if found != expected:
                raise CalibrationError(
                    source=source, field=f"detector {field}", expected=repr(expected), found=repr(found)
                )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class IsrCalibration(abc.ABC):
    """A calibration that the Science Pipelines keep as an ``IsrCalib``.

    Notes
    -----
    A calibration holds what instrument signature removal uses. The record
    of how it was made (fit residuals, covariances, exposures) is not kept:
    it is read past, and written as one unset value a row.
    """

    detector: DetectorIdentity = dataclasses.field(default_factory=DetectorIdentity)
    """Detector that the calibration was made for."""

    metadata: Mapping[str, MetadataScalar] = dataclasses.field(default_factory=dict)
    """Other header cards of the file: filter, date, sequencer."""

    source: str = ""
    """File that the calibration came from, for messages."""

    obs_type: ClassVar[str]
    """Value of ``OBSTYPE`` in the file."""

    schema_name: ClassVar[str]
    """Value of ``<OBSTYPE>_SCHEMA`` in the file."""

    schema_version: ClassVar[float]
    """Value of ``<OBSTYPE>_VERSION`` that is written, the newest that is read."""

    science_pipelines_class: ClassVar[str]
    """Value of ``CALIBCLS`` in the file."""

    reserved: ClassVar[frozenset[str]] = frozenset()
    """Header cards that belong to the type, and so are not in `metadata`."""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that this class or the Science Pipelines wrote.

        Parameters
        ----------
        path
            Local FITS or ECSV file.

        Returns
        -------
        calibration
            The calibration, consistent in itself; see `validate_for`.

        Raises
        ------
        CalibrationError
            Raised if the file cannot be read, holds another type of
            calibration, lacks a column or is inconsistent.
        """
        return cls.from_tables(read_tables(path))

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a file that the Science Pipelines can read.

        Parameters
        ----------
        path
            File to write, FITS or ECSV by its name.
        overwrite
            Whether to replace an existing file.

        Raises
        ------
        CalibrationError
            Raised if the calibration needs several tables, and the name ends
            in ``.ecsv``.
        FileExistsError
            Raised if the file exists and ``overwrite`` is not set.
        """
        write_tables(path, self.to_tables(), overwrite=overwrite)

    @classmethod
    def from_tables(cls, tables: Sequence[CalibTable]) -> Self:
        """Make a calibration from the tables of a file.

        Parameters
        ----------
        tables
            Tables in the order of the file.

        Returns
        -------
        calibration
            The calibration.

        Raises
        ------
        CalibrationError
            Raised if the tables are of another type of calibration, lack a
            column or are inconsistent.
        """
        first = tables[0]
        found = first.metadata.get("OBSTYPE", "no OBSTYPE")
        if str(found).casefold() != cls.obs_type.casefold():
            raise CalibrationError(source=first.source, field="OBSTYPE", expected=cls.obs_type, found=found)
        known = cls._known_cards()
        return cls(
            detector=DetectorIdentity.from_metadata(first.metadata, source=first.source),
            metadata={key: value for key, value in first.metadata.items() if key.upper() not in known},
            source=first.source,
            **cls._fields_from_tables(tables),
        )

    @classmethod
    def from_isr_calib(cls, calibration: Any) -> Self:
        """Convert the Science Pipelines' object of the same calibration.

        Parameters
        ----------
        calibration
            An ``lsst.ip.isr.IsrCalib``.

        Returns
        -------
        calibration
            The calibration.

        Raises
        ------
        CalibrationError
            Raised if it is of another type or inconsistent.
        """
        tables = calibration.toTable()
        source = f"{type(calibration).__name__} object"
        return cls.from_tables([CalibTable.from_astropy(table, source=source) for table in tables])

    def to_tables(self) -> list[CalibTable]:
        """Return the tables of a file.

        Returns
        -------
        tables
            Tables in the order of the file; the first has the header.
        """
        header: dict[str, MetadataScalar] = {
            "OBSTYPE": self.obs_type,
            f"{self.obs_type}_SCHEMA": self.schema_name,
            f"{self.obs_type}_VERSION": self.schema_version,
            **self.detector.to_metadata(),
            "CALIBCLS": self.science_pipelines_class,
            **self._header(),
            **self.metadata,
        }
        first, *others = self._tables()
        return [CalibTable(columns=first.columns, metadata=header, source=self.source), *others]

    def validate_for(
        self, detector: Detector, *, ignore_amplifiers: Collection[str] = (), check_serial: bool = True
    ) -> None:
        """Refuse to be used on a detector that this does not fit.

        Parameters
        ----------
        detector
            Detector on which the calibration is to be used.
        ignore_amplifiers
            Amplifiers known to be bad, whose values need not be usable.
        check_serial
            Whether the serial number of the CCD must agree.

        Raises
        ------
        CalibrationError
            Raised if the detector or its amplifiers are others, or a value
            cannot be used (a NaN or negative gain).
        """
        self.detector.check(detector, source=self.source, check_serial=check_serial)
        self._check_values(detector, frozenset(ignore_amplifiers))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in dataclasses.fields(self) if field.name != "source"]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    @abc.abstractmethod
    def _fields_from_tables(cls, tables: Sequence[CalibTable]) -> dict[str, Any]:
        """Return the constructor's arguments that are the type's own."""

    @abc.abstractmethod
    def _tables(self) -> list[CalibTable]:
        """Return the tables, without header."""

    def _header(self) -> dict[str, MetadataScalar]:
        """Return the header cards that are the type's own."""
        return {}

    @abc.abstractmethod
    def _check_values(self, detector: Detector, ignore: frozenset[str]) -> None:
        """Raise if the values cannot be used on the detector."""

    def _check_amplifiers(self, found: Collection[str], detector: Detector, *, field: str) -> None:
        expected = {amplifier.name for amplifier in detector.amplifiers}
        if set(found) != expected:
            raise self._error(field, sorted(expected), sorted(found))

    def _check_finite(
        self, values: Mapping[str, float], *, field: str, ignore: frozenset[str], positive: bool = True
    ) -> None:
        """Raise if a value is not finite, or is negative (or zero)."""
        for amplifier, value in values.items():
            if amplifier in ignore:
                continue
            if not np.isfinite(value) or value < 0 or (positive and value == 0):
                sign = "> 0" if positive else ">= 0"
                raise self._error(f"{field} of {amplifier}", f"a finite number {sign}", value)

    def _error(self, field: str, expected: object, found: object) -> CalibrationError:
        return CalibrationError(field=field, expected=expected, found=found, source=self.source)

    @classmethod
    def _known_cards(cls) -> frozenset[str]:
        own = {"OBSTYPE", f"{cls.obs_type.upper()}_SCHEMA", f"{cls.obs_type.upper()}_VERSION", "CALIBCLS"}
        detector = {"INSTRUME", "RAFTNAME", "SLOTNAME", "DETECTOR", "DET_NAME", "DET_SER"}
        return cls.reserved | own | detector | {"DETECTOR_NAME", "DETECTOR_SERIAL"}

    @classmethod
    def _version(cls, table: CalibTable) -> float:
        """Return the version of the layout that the file declares."""
        wanted = f"{cls.obs_type}_VERSION".casefold()
        for key, value in table.metadata.items():
            if key.casefold() == wanted:
                try:
                    return float(value)
                except ValueError:
                    raise CalibrationError(
                        source=table.source, field=key, expected="a version number", found=repr(value)
                    ) from None
        return cls.schema_version


def frozen_array(values: npt.ArrayLike, dtype: npt.DTypeLike) -> np.ndarray:
    """Return a read-only copy of an array.

    Parameters
    ----------
    values
        Array to copy.
    dtype
        Type of the elements of the copy.

    Returns
    -------
    array
        The read-only copy, contiguous in C order.
    """
    array = np.array(values, dtype=dtype, order="C")
    array.flags.writeable = False
    return array


def _same(one: Any, other: Any) -> bool:
    """Compare fields; NaN equals NaN."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, float) and isinstance(other, float) and np.isnan(one):
        return bool(np.isnan(other))
    return bool(one == other)
