# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("DeferredCharge", "SerialTrap", "TrapType")

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from lsst.images.cameras import Detector

from ._errors import CalibrationError
from ._isr_calib import IsrCalibration, frozen_array
from ._tables import CalibTable, MetadataScalar

_FIRST_IN_ELECTRON = 1.1
"""Older files may be in adu and do not say so."""


class TrapType(enum.StrEnum):
    """How much charge a trap captures; its coefficients' meaning."""

    LINEAR = "linear"
    """Factor of the signal."""

    LOGISTIC = "logistic"
    """Signal of half capture (electron) and steepness (1/electron)."""

    SPLINE = "spline"
    """Signals, then captured charges (electron): interpolated linearly."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SerialTrap:
    """One charge trap of a serial register."""

    size: float
    """Capacity in electron."""

    emission_time: float
    """Time constant of emission, in transfers."""

    pixel: int
    """Place in the serial register, prescan included."""

    type: TrapType
    """Kind of capture."""

    coefficients: np.ndarray
    """Float64 array of shape ``(n,)``; see `TrapType`."""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "type", TrapType(self.type))
        except ValueError:
            raise self._error("TYPE", [one.value for one in TrapType], self.type) from None
        object.__setattr__(self, "coefficients", frozen_array(self.coefficients, np.float64))
        if not (np.isfinite(self.size) and self.size >= 0):
            raise self._error("SIZE", "a finite number >= 0 (electron)", self.size)
        if not (np.isfinite(self.emission_time) and self.emission_time > 0):
            raise self._error("EMISSION_TIME", "a finite number > 0 (transfers)", self.emission_time)
        n = self.coefficients.size
        good = {TrapType.LINEAR: n >= 1, TrapType.LOGISTIC: n >= 2, TrapType.SPLINE: n >= 2 and n % 2 == 0}
        if self.coefficients.ndim != 1 or not good[self.type]:
            expected = {"linear": "1 or more", "logistic": "2 or more", "spline": "an even number"}
            raise self._error("COEFFS", expected[self.type], n)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SerialTrap):
            return NotImplemented
        names = ("size", "emission_time", "pixel", "type")
        return all(getattr(self, name) == getattr(other, name) for name in names) and np.array_equal(
            self.coefficients, other.coefficients, equal_nan=True
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def spline(self) -> tuple[np.ndarray, np.ndarray]:
        """Signals and captured charges in electron, without NaN, each ``(n,)``."""
        if self.type is not TrapType.SPLINE:
            raise self._error("TYPE", TrapType.SPLINE, self.type)
        signals, charges = np.split(self.coefficients, 2)
        good = ~(np.isnan(signals) | np.isnan(charges))
        return signals[good], charges[good]

    @staticmethod
    def _error(field: str, expected: object, found: object) -> CalibrationError:
        return CalibrationError(field=f"serial trap {field}", expected=expected, found=found)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DeferredCharge(IsrCalibration):
    """Serial charge transfer inefficiency of each amplifier, keyed by its name.

    Notes
    -----
    The model is that of Snyder et al. 2021, JATIS 7, 048002
    (doi:10.1117/1.JATIS.7.4.048002). All charges are in electron.
    """

    drift_scale: Mapping[str, float]
    """Scale A_L of the local electronic offset; 0 means none."""

    decay_time: Mapping[str, float]
    """Decay time tau_L of the local electronic offset, in transfers."""

    global_cti: Mapping[str, float]
    """Mean loss b at a transfer, as a fraction."""

    serial_traps: Mapping[str, SerialTrap]
    """Trap of each amplifier; those without one are missing."""

    input_gain: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Gain in electron/adu that was used; NaN when not given."""

    obs_type: ClassVar[str] = "CTI"
    schema_name: ClassVar[str] = "Deferred Charge"
    schema_version: ClassVar[float] = 1.3
    science_pipelines_class: ClassVar[str] = "lsst.ip.isr.deferredCharge.DeferredChargeCalib"
    reserved: ClassVar[frozenset[str]] = frozenset({"UNITS", "USEGAINS"})

    def __post_init__(self) -> None:
        input_gain = self.input_gain or dict.fromkeys(self.drift_scale, np.nan)
        object.__setattr__(self, "input_gain", input_gain)
        for name in ("drift_scale", "decay_time", "global_cti", "input_gain"):
            values = getattr(self, name)
            if values.keys() != self.drift_scale.keys():
                raise self._error(f"amplifiers of {name}", sorted(self.drift_scale), sorted(values))
            object.__setattr__(self, name, {key: float(values[key]) for key in self.drift_scale})
        if not self.serial_traps.keys() <= self.drift_scale.keys():
            raise self._error(
                "amplifiers of serial_traps", sorted(self.drift_scale), sorted(self.serial_traps)
            )
        object.__setattr__(self, "serial_traps", dict(self.serial_traps))

    @property
    def amplifiers(self) -> tuple[str, ...]:
        """Names of the amplifiers, in the order of the file."""
        return tuple(self.drift_scale)

    @classmethod
    def _fields_from_tables(cls, tables: Sequence[CalibTable]) -> dict[str, Any]:
        table = tables[0]
        if (version := cls._version(table)) < _FIRST_IN_ELECTRON:
            raise CalibrationError(
                source=table.source,
                field="CTI_VERSION",
                expected=f"{_FIRST_IN_ELECTRON} or newer (in electron)",
                found=version,
            )
        units = table.metadata.get("UNITS", "electron")
        if units != "electron":
            raise CalibrationError(source=table.source, field="UNITS", expected="electron", found=units)
        if len(tables) < 2:
            raise CalibrationError(
                source=table.source, field="tables", expected="a second table, of serial traps", found="one"
            )
        amplifiers = table.amplifiers("AMPLIFIER")
        fields: dict[str, Any] = {
            field: table.by_amplifier(field.upper(), amplifiers)
            for field in ("drift_scale", "decay_time", "global_cti")
        }
        if "INPUT_GAIN" in table:
            fields["input_gain"] = table.by_amplifier("INPUT_GAIN", amplifiers)
        return {**fields, "serial_traps": _traps(tables[1])}

    def _header(self) -> dict[str, MetadataScalar]:
        return {"UNITS": "electron"}

    def _tables(self) -> list[CalibTable]:
        n = len(self.drift_scale)
        columns: dict[str, np.ndarray] = {
            "AMPLIFIER": np.array(self.amplifiers),
            "DRIFT_SCALE": np.array([*self.drift_scale.values()]),
            "DECAY_TIME": np.array([*self.decay_time.values()]),
            "GLOBAL_CTI": np.array([*self.global_cti.values()]),
            "INPUT_GAIN": np.array([*self.input_gain.values()]),
        }
        columns |= {name: np.full((n, 1), np.nan) for name in ("SIGNALS", "SERIAL_EPER", "PARALLEL_EPER")}
        for name in ("SERIAL_CTI_TURNOFF", "PARALLEL_CTI_TURNOFF"):
            columns |= {name: np.full(n, np.nan), f"{name}_SAMPLING_ERR": np.full(n, np.nan)}
        traps = [*self.serial_traps.values()]
        width = max((trap.coefficients.size for trap in traps), default=1)
        coefficients = np.full((len(traps), width), np.nan)
        for row, trap in zip(coefficients, traps, strict=True):
            row[: trap.coefficients.size] = trap.coefficients
        trap_columns = {
            "AMPLIFIER": np.array([*self.serial_traps], dtype=np.str_),
            "SIZE": np.array([trap.size for trap in traps], dtype=np.float64),
            "EMISSION_TIME": np.array([trap.emission_time for trap in traps], dtype=np.float64),
            "PIXEL": np.array([trap.pixel for trap in traps], dtype=np.int64),
            "TYPE": np.array([trap.type.value for trap in traps], dtype=np.str_),
            "COEFFS": coefficients,
        }
        return [CalibTable(columns=columns), CalibTable(columns=trap_columns)]

    def _check_values(self, detector: Detector, ignore: frozenset[str]) -> None:
        self._check_amplifiers(self.drift_scale, detector, field="amplifiers")
        self._check_finite(self.drift_scale, field="drift_scale", ignore=ignore, positive=False)
        self._check_finite(self.global_cti, field="global_cti", ignore=ignore, positive=False)
        # The decay time is not used where there is no offset.
        no_offset = {name for name, scale in self.drift_scale.items() if scale == 0}
        self._check_finite(self.decay_time, field="decay_time (transfers)", ignore=ignore | no_offset)
        if missing := self.drift_scale.keys() - self.serial_traps.keys() - ignore:
            raise self._error("serial traps", "one for each amplifier", f"none for {sorted(missing)}")


def _traps(table: CalibTable) -> dict[str, SerialTrap]:
    """Read the serial traps; NaN that pads the coefficients is removed."""
    # One trap an amplifier; the table may lack amplifiers.
    if not len(table):
        return {}
    amplifiers = table.amplifiers("AMPLIFIER")
    coefficients = table.numbers("COEFFS").reshape(len(amplifiers), -1)
    rows = zip(
        amplifiers,
        table.numbers("SIZE").tolist(),
        table.numbers("EMISSION_TIME").tolist(),
        table.integers("PIXEL").tolist(),
        table.strings("TYPE"),
        coefficients,
        strict=True,
    )
    traps = {}
    for amplifier, size, emission_time, pixel, kind, values in rows:
        used = np.flatnonzero(~np.isnan(values))
        length = int(used[-1]) + 1 if used.size else 0
        try:
            traps[amplifier] = SerialTrap(
                size=size,
                emission_time=emission_time,
                pixel=pixel,
                type=kind,
                coefficients=values[:length],
            )
        except CalibrationError as error:
            raise CalibrationError(
                source=table.source,
                field=f"{error.field} of {amplifier}",
                expected=error.expected,
                found=error.found,
            ) from None
    return traps
