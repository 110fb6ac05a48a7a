# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("Crosstalk",)

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from lsst.images.cameras import Detector

from ._errors import CalibrationError
from ._isr_calib import IsrCalibration, frozen_array
from ._tables import CalibTable, MetadataScalar

_COLUMNS = {
    "coefficients": ("CT_COEFFS", 0.0),
    "errors": ("CT_ERRORS", 0.0),
    "counts": ("CT_COUNTS", 0),
    "valid": ("CT_VALID", True),
    "quadratic": ("CT_COEFFS_SQR", 0.0),
    "quadratic_errors": ("CT_ERRORS_SQR", 0.0),
    "gain_ratios": ("CT_AMP_GAIN_RATIOS", 0.0),
}
"""Field to column and to the value when the column is missing."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Crosstalk(IsrCalibration):
    """Crosstalk between the amplifiers of a detector.

    Notes
    -----
    Matrices have shape ``(n, n)`` and are indexed [source, target], as the
    Science Pipelines apply them. The file has no amplifier names: rows and
    columns follow the order of the camera's amplifiers
    (``Detector.amplifiers``); `in_order` gives another.
    """

    coefficients: np.ndarray
    """Part of the source's signal that is seen in the target."""

    quadratic: np.ndarray | None = None
    """Factor of the square of the source's signal, in 1/`units`."""

    valid: np.ndarray | None = None
    """Whether a coefficient is significant; bool."""

    errors: np.ndarray | None = None
    """Scatter of the coefficients."""

    quadratic_errors: np.ndarray | None = None
    """Scatter of the quadratic coefficients."""

    counts: np.ndarray | None = None
    """Pixels that were measured; int64."""

    gain_ratios: np.ndarray | None = None
    """Gains' ratios."""

    fit_gains: np.ndarray | None = None
    """Gains that were used, in electron/adu, shape ``(n,)``; 0 when not known."""

    units: str = "electron"
    """Unit of target and source: electron or adu."""

    has_crosstalk: bool = True
    """Whether there is anything to correct."""

    inter_chip: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """Coefficients whose source is another detector, keyed by its name."""

    obs_type: ClassVar[str] = "CROSSTALK"
    schema_name: ClassVar[str] = "Gen3 Crosstalk"
    schema_version: ClassVar[float] = 1.2
    science_pipelines_class: ClassVar[str] = "lsst.ip.isr.crosstalk.CrosstalkCalib"
    reserved: ClassVar[frozenset[str]] = frozenset(
        {"HAS_CROSSTALK", "NAMP", "CROSSTALK_SHAPE", "CROSSTALK_RATIOS_UNITS"}
    )

    def __post_init__(self) -> None:
        n = len(self.coefficients)
        for name, (_, default) in _COLUMNS.items():
            values = getattr(self, name)
            values = np.full((n, n), default) if values is None else np.asarray(values)
            if values.shape != (n, n):
                raise self._error(name, f"shape {(n, n)}", values.shape)
            object.__setattr__(self, name, frozen_array(values, np.asarray(default).dtype))
        fit_gains = np.zeros(n) if self.fit_gains is None else np.asarray(self.fit_gains)
        if fit_gains.shape != (n,):
            raise self._error("fit_gains", f"shape {(n,)}", fit_gains.shape)
        object.__setattr__(self, "fit_gains", frozen_array(fit_gains, np.float64))
        inter_chip = {name: frozen_array(values, np.float64) for name, values in self.inter_chip.items()}
        for name, values in inter_chip.items():
            if values.shape != (n, n):
                raise self._error(f"inter_chip {name}", f"shape {(n, n)}", values.shape)
        object.__setattr__(self, "inter_chip", inter_chip)
        if self.units not in {"adu", "electron"}:
            raise self._error("CROSSTALK_RATIOS_UNITS", "adu or electron", self.units)

    @property
    def n_amplifiers(self) -> int:
        """Number of amplifiers."""
        return len(self.coefficients)

    def in_order(self, amplifiers: Sequence[str], detector: Detector) -> Crosstalk:
        """Return the same crosstalk for another order of amplifiers.

        Parameters
        ----------
        amplifiers
            Names of all amplifiers in the wanted order, such as that of the
            extensions of a raw file.
        detector
            Detector whose amplifiers have the order of the file.

        Returns
        -------
        crosstalk
            Crosstalk with rows and columns in the wanted order.

        Raises
        ------
        CalibrationError
            Raised if the names are not the detector's, or their number is
            not that of the matrix.
        """
        old = [amplifier.name for amplifier in detector.amplifiers]
        if sorted(old) != sorted(amplifiers) or len(old) != self.n_amplifiers:
            raise self._error(f"amplifiers ({self.n_amplifiers})", old, list(amplifiers))
        index = [old.index(name) for name in amplifiers]
        square = np.ix_(index, index)
        changes: dict[str, Any] = {name: getattr(self, name)[square] for name in _COLUMNS}
        changes["fit_gains"] = self.fit_gains[index] if self.fit_gains is not None else None
        changes["inter_chip"] = {name: values[square] for name, values in self.inter_chip.items()}
        return dataclasses.replace(self, **changes)

    @classmethod
    def _fields_from_tables(cls, tables: Sequence[CalibTable]) -> dict[str, Any]:
        table = tables[0]
        has_crosstalk = bool(table.metadata.get("HAS_CROSSTALK", True))
        flat = table.numbers("CT_COEFFS").ravel()
        n = table.metadata.get("NAMP", round(np.sqrt(flat.size)))
        if not isinstance(n, int):
            raise CalibrationError(
                source=table.source, field="NAMP", expected="a number of amplifiers", found=repr(n)
            )

        def square(name: str, source: CalibTable = table, row: int | None = None) -> np.ndarray:
            values = source.numbers(name)
            values = values.ravel() if row is None else values[row]
            if values.size != n * n:
                raise CalibrationError(
                    source=table.source,
                    field=name,
                    expected=f"{n * n} values (NAMP = {n})",
                    found=values.size,
                )
            return values.reshape(n, n)

        fields: dict[str, Any] = {
            field: square(column) for field, (column, _) in _COLUMNS.items() if column in table
        }
        if "CT_FIT_GAINS" in table:
            gains = table.numbers("CT_FIT_GAINS").ravel()
            # Some files have one value that means "not known".
            fields["fit_gains"] = np.zeros(n) if gains.size == 1 and n != 1 else gains
        if len(tables) > 1:
            sources = tables[1].strings("IC_SOURCE_DET")
            fields["inter_chip"] = {
                name: square("IC_COEFFS", tables[1], row) for row, name in enumerate(sources)
            }
        # Files without the unit are older than version 1.1 and in adu.
        units = str(table.metadata.get("CROSSTALK_RATIOS_UNITS", "adu"))
        return {"units": units, "has_crosstalk": has_crosstalk, **fields}

    def _header(self) -> dict[str, MetadataScalar]:
        identity = {"DETECTOR_NAME": self.detector.name, "DETECTOR_SERIAL": self.detector.serial}
        return {
            **{key: value for key, value in identity.items() if value is not None},
            "HAS_CROSSTALK": self.has_crosstalk,
            "NAMP": self.n_amplifiers,
            "CROSSTALK_RATIOS_UNITS": self.units,
        }

    def _tables(self) -> list[CalibTable]:
        columns = {column: getattr(self, field).reshape(1, -1) for field, (column, _) in _COLUMNS.items()}
        columns["CT_FIT_GAINS"] = np.reshape(self.fit_gains, (1, -1)) if self.fit_gains is not None else None
        tables = [CalibTable(columns=columns)]
        if self.inter_chip:
            values = np.stack([one.ravel() for one in self.inter_chip.values()])
            names = np.array([*self.inter_chip])
            tables.append(CalibTable(columns={"IC_SOURCE_DET": names, "IC_COEFFS": values}))
        return tables

    def _check_values(self, detector: Detector, ignore: frozenset[str]) -> None:
        n = len(detector.amplifiers)
        if self.n_amplifiers != n:
            raise self._error("number of amplifiers", n, self.n_amplifiers)
        good = np.array([amplifier.name not in ignore for amplifier in detector.amplifiers])
        for name in ("coefficients", "quadratic"):
            values = getattr(self, name)[np.ix_(good, good)]
            if not np.isfinite(values).all():
                raise self._error(name, "finite numbers", "NaN or infinite ones")
