# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("LinearityType", "Linearizer")

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from lsst.images import Box
from lsst.images.cameras import Detector

from ._errors import CalibrationError
from ._isr_calib import IsrCalibration, frozen_array
from ._tables import CalibTable, MetadataScalar

_SERIES = (
    "INP_ABSCISSA",
    "INP_ORDINATE",
    "INP_GROUPING_INDEX",
    "INP_NORMALIZATION",
    "FIT_PARAMS",
    "FIT_PARAMS_ERR",
    "FIT_RES",
    "FIT_RES_UNMASKED",
    "FIT_RES_MODEL",
    "LIN_FIT",
)


class LinearityType(enum.StrEnum):
    """How an amplifier's signal is made linear; its coefficients' meaning."""

    SPLINE = "Spline"
    """Nodes, then corrections, in adu: subtract the Akima spline."""

    DOUBLE_SPLINE = "DoubleSpline"
    """Numbers of nodes of two splines, then nodes and corrections of each."""

    LOOKUP_TABLE = "LookupTable"
    """Row of the table, then offset of its column: add the entry."""

    POLYNOMIAL = "Polynomial"
    """Factors of the second and higher powers, which are added."""

    SQUARED = "Squared"
    """Factor of the square, which is added."""

    PROPORTIONAL = "Proportional"
    """No correction."""

    NONE = "None"
    """No correction."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Linearizer(IsrCalibration):
    """Correction of each amplifier's non-linearity, keyed by its name."""

    types: Mapping[str, LinearityType]
    """How each amplifier is corrected."""

    coefficients: Mapping[str, np.ndarray]
    """Float64 array of shape ``(n,)``; see `LinearityType`."""

    bboxes: Mapping[str, Box]
    """Box of each amplifier in assembled pixels."""

    table: np.ndarray | None = None
    """Float32 array of shape ``(n_rows, n_columns)``, in adu, for lookup."""

    units: str = "adu"
    """Unit of the signal that is corrected."""

    input_gain: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Gain in electron/adu of the PTC that was used; NaN when not given."""

    input_turnoff: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Turn-off in adu of the PTC that was used; infinite when not given."""

    linearity_turnoff: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Signal in adu up to which the correction holds; NaN when not given."""

    linearity_max_signal: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Greatest signal in adu that was measured; NaN when not given."""

    absolute_reference_amplifier: str = ""
    """Amplifier to which double splines refer."""

    obs_type: ClassVar[str] = "LINEARIZER"
    schema_name: ClassVar[str] = "Gen3 Linearizer"
    schema_version: ClassVar[float] = 1.8
    science_pipelines_class: ClassVar[str] = "lsst.ip.isr.linearize.Linearizer"
    reserved: ClassVar[frozenset[str]] = frozenset(
        {"HAS_LINEARITY", "OVERRIDE", "HAS_TABLE", "LINEARITY_UNITS"}
    )

    def __post_init__(self) -> None:
        types = {amplifier: self._linearity_type(amplifier) for amplifier in self.types}
        unset = {
            "input_gain": np.nan,
            "input_turnoff": np.inf,
            "linearity_turnoff": np.nan,
            "linearity_max_signal": np.nan,
        }
        for name, default in unset.items():
            values = getattr(self, name) or dict.fromkeys(types, default)
            self._check_keys(name, values)
            object.__setattr__(self, name, {key: float(values[key]) for key in types})
        self._check_keys("coefficients", self.coefficients)
        self._check_keys("bboxes", self.bboxes)
        coefficients = {key: frozen_array(self.coefficients[key], np.float64) for key in types}
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "coefficients", coefficients)
        if self.table is not None:
            object.__setattr__(self, "table", frozen_array(self.table, np.float32))
            if self.table.ndim != 2:
                raise self._error("lookup table", "shape (n_rows, n_columns)", self.table.shape)
        for amplifier in types:
            self._check_coefficients(amplifier)

    @property
    def amplifiers(self) -> tuple[str, ...]:
        """Names of the amplifiers, in the order of the file."""
        return tuple(self.types)

    def splines(self, amplifier: str) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Return nodes and corrections of an amplifier's spline or splines.

        Parameters
        ----------
        amplifier
            Name of the amplifier, of type ``Spline`` or ``DoubleSpline``.

        Returns
        -------
        splines
            Nodes and corrections in adu, each of shape ``(n,)``, one pair for
            each spline in the order in which they apply. As in the file: not
            yet anchored at zero.

        Raises
        ------
        CalibrationError
            Raised if the amplifier is not corrected by a spline.
        """
        values = self.coefficients[amplifier]
        match self.types[amplifier]:
            case LinearityType.SPLINE:
                counts = [len(values) // 2]
                start = 0
            case LinearityType.DOUBLE_SPLINE:
                counts = [int(values[0]), int(values[1])]
                start = 2
            case other:
                raise self._error(f"type of {amplifier}", "a spline", other)
        pairs = []
        for n in counts:
            if n:
                pairs.append((values[start : start + n], values[start + n : start + 2 * n]))
            start += 2 * n
        return tuple(pairs)

    def _linearity_type(self, amplifier: str) -> LinearityType:
        try:
            return LinearityType(self.types[amplifier])
        except ValueError:
            raise self._error(
                f"TYPE of {amplifier}",
                f"one of {[one.value for one in LinearityType]}",
                self.types[amplifier],
            ) from None

    def _check_keys(self, name: str, values: Mapping[str, Any]) -> None:
        if values.keys() != self.types.keys():
            raise self._error(f"amplifiers of {name}", sorted(self.types), sorted(values))

    def _check_coefficients(self, amplifier: str) -> None:
        """Raise if the number of coefficients does not suit the type."""
        values = self.coefficients[amplifier]
        n = values.size
        match self.types[amplifier]:
            case LinearityType.SPLINE:
                expected, good = "an even number, 4 or more", n >= 4 and n % 2 == 0
            case LinearityType.DOUBLE_SPLINE:
                counts = values[:2]
                whole = n >= 2 and bool(np.isfinite(counts).all()) and bool((counts >= 0).all())
                needed = 2 + 2 * int(counts.sum()) if whole else 2
                expected, good = f"at least {needed}", whole and n >= needed
            case LinearityType.LOOKUP_TABLE:
                if self.table is None:
                    raise self._error("lookup table", f"a table, for {amplifier}", None)
                rows = len(self.table)
                good = n >= 2 and bool(0 <= values[0] < rows)
                expected = f"row (0 to {rows - 1}) and offset"
            case LinearityType.SQUARED | LinearityType.POLYNOMIAL:
                expected, good = "at least 1", n >= 1
            case _:
                return
        if values.ndim != 1 or not good:
            raise self._error(f"coefficients of {amplifier}", expected, f"{n}: {values.tolist()[:4]} ...")

    @classmethod
    def _fields_from_tables(cls, tables: Sequence[CalibTable]) -> dict[str, Any]:
        table = tables[0]
        amplifiers = table.amplifiers("AMPLIFIER_NAME")
        coefficients = table.numbers("COEFFS").reshape(len(amplifiers), -1)
        x0, y0, dx, dy = (table.integers(f"BBOX_{name}").tolist() for name in ("X0", "Y0", "DX", "DY"))
        if min(*dx, *dy, 1) < 1:
            raise CalibrationError(
                source=table.source, field="BBOX_DX, BBOX_DY", expected="1 or more", found=(dx, dy)
            )
        optional = {
            field: table.by_amplifier(field.upper(), amplifiers)
            for field in ("input_gain", "input_turnoff", "linearity_turnoff", "linearity_max_signal")
            if field.upper() in table
        }
        return {
            "types": dict(zip(amplifiers, table.strings("TYPE"), strict=True)),
            "coefficients": dict(zip(amplifiers, coefficients, strict=True)),
            "bboxes": {
                name: Box.factory[y0[i] : y0[i] + dy[i], x0[i] : x0[i] + dx[i]]
                for i, name in enumerate(amplifiers)
            },
            "table": tables[1].numbers("LOOKUP_VALUES") if len(tables) > 1 else None,
            "units": str(table.metadata.get("LINEARITY_UNITS", "adu")),
            "absolute_reference_amplifier": (
                table.strings("ABS_REF_AMP")[0] if "ABS_REF_AMP" in table else ""
            ),
            **optional,
        }

    def _header(self) -> dict[str, MetadataScalar]:
        return {
            "HAS_LINEARITY": True,
            "OVERRIDE": True,
            "HAS_TABLE": self.table is not None,
            "LINEARITY_UNITS": self.units,
        }

    def _tables(self) -> list[CalibTable]:
        n = len(self.types)
        width = max((values.size for values in self.coefficients.values()), default=1)
        coefficients = np.zeros((n, max(width, 1)))
        for row, values in zip(coefficients, self.coefficients.values(), strict=True):
            row[: values.size] = values
        self._check_padding(width)
        boxes = [(box.x.start, box.y.start, box.x.size, box.y.size) for box in self._ordered_bboxes()]
        columns: dict[str, np.ndarray] = {
            "AMPLIFIER_NAME": np.array(self.amplifiers),
            "INPUT_GAIN": np.array([*self.input_gain.values()]),
            "INPUT_TURNOFF": np.array([*self.input_turnoff.values()]),
            "TYPE": np.array([one.value for one in self.types.values()]),
            "COEFFS": coefficients,
        }
        for i, name in enumerate(("X0", "Y0", "DX", "DY")):
            columns[f"BBOX_{name}"] = np.array([box[i] for box in boxes], dtype=np.int64)
        columns |= {name: np.zeros((n, 2)) for name in _SERIES}
        columns |= {
            "INP_MASK": np.zeros((n, 2), dtype=bool),
            "RED_CHI_SQ": np.full(n, np.nan),
            "FIT_RES_SIGMAD": np.full(n, np.nan),
            "LINEARITY_TURNOFF": np.array([*self.linearity_turnoff.values()]),
            "LINEARITY_MAX_SIGNAL": np.array([*self.linearity_max_signal.values()]),
            "ABS_REF_AMP": np.full(n, self.absolute_reference_amplifier or ""),
        }
        tables = [CalibTable(columns=columns)]
        if self.table is not None:
            tables.append(CalibTable(columns={"LOOKUP_VALUES": self.table}))
        return tables

    def _ordered_bboxes(self) -> list[Box]:
        return [self.bboxes[amplifier] for amplifier in self.types]

    def _check_padding(self, width: int) -> None:
        """Raise if zeros at the end would change a spline."""
        for amplifier, values in self.coefficients.items():
            if values.size != width and self.types[amplifier] is LinearityType.SPLINE:
                raise self._error(f"number of coefficients of {amplifier}", width, values.size)

    def _check_values(self, detector: Detector, ignore: frozenset[str]) -> None:
        self._check_amplifiers(self.types, detector, field="amplifiers")
        if self.units not in {"adu", "electron"}:
            raise self._error("LINEARITY_UNITS", "adu or electron", self.units)
        for amplifier in detector.amplifiers:
            if self.bboxes[amplifier.name] != amplifier.bbox:
                raise self._error(f"box of {amplifier.name}", amplifier.bbox, self.bboxes[amplifier.name])
        for name, values in self.coefficients.items():
            if name in ignore:
                continue
            if not np.isfinite(values).all():
                raise self._error(f"coefficients of {name}", "finite numbers", values.tolist())
            if self.types[name] in {LinearityType.SPLINE, LinearityType.DOUBLE_SPLINE}:
                for nodes, _ in self.splines(name):
                    if (np.diff(nodes) <= 0).any():
                        raise self._error(f"spline nodes of {name}", "increasing numbers", nodes.tolist())
