# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("PhotonTransferCurve",)

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from lsst.images.cameras import Detector

from ._isr_calib import IsrCalibration
from ._tables import CalibTable, MetadataScalar

_SERIES = (
    "INPUT_EXP_ID_PAIRS",
    "INPUT_EXP_PAIR_MJD_START",
    "RAW_EXP_TIMES",
    "RAW_MEANS",
    "RAW_VARS",
    "RAW_DELTAS",
    "ROW_MEAN_VARIANCE",
    "GAIN_LIST",
    "OVERSCAN_MEDIAN_LIST",
    "NOISE_LIST",
    "HIST_VARS",
    "HIST_CHI2_DOFS",
    "KS_PVALUES",
    "PTC_FIT_PARS",
    "PTC_FIT_PARS_ERROR",
    "A_MATRIX",
    "B_MATRIX",
    "NOISE_MATRIX",
    "PHOTO_CHARGE",
    "PHOTO_CHARGE_DELTAS",
    "AMP_OFFSETS",
    "COVARIANCES",
    "COVARIANCES_MODEL",
    "COVARIANCES_SQRT_WEIGHTS",
    "FINAL_VARS",
    "FINAL_MODEL_VARS",
    "FINAL_MEANS",
)
_SCALARS = (
    "GAIN_ERR",
    "NOISE_ERR",
    "PTC_FIT_CHI_SQ",
    "PTC_TURNOFF_SAMPLING_ERROR",
    "PTC_ROLLOFF",
    "PTC_ROLLOFF_ERROR",
    "PTC_ROLLOFF_TAU",
    "PTC_ROLLOFF_TAU_ERROR",
)
_NOISE_IN_ELECTRON = 1.9
"""Version from which the noise of every kind of fit is in electron (DM-45976)."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PhotonTransferCurve(IsrCalibration):
    """Gain, read noise and turn-off of each amplifier, keyed by its name."""

    gain: Mapping[str, float]
    """Gain in electron/adu."""

    noise: Mapping[str, float]
    """Read noise in electron."""

    ptc_turnoff: Mapping[str, float]
    """Signal in adu from which the variance falls: the saturation level."""

    gain_unadjusted: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Gain in electron/adu before it is adjusted by amplifier offsets; the
    gain, when it is not given."""

    overscan_median: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Usual level of the serial overscan in adu; NaN when it is not given."""

    overscan_median_sigma: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Scatter of `overscan_median` in adu; NaN when it is not given."""

    bad_amplifiers: frozenset[str] = frozenset()
    """Amplifiers that the fit declared bad. Their values may be NaN."""

    fit_type: str = "FULLCOVARIANCE"
    """Model that was fitted."""

    obs_type: ClassVar[str] = "PTC"
    schema_name: ClassVar[str] = "Gen3 Photon Transfer Curve"
    schema_version: ClassVar[float] = 2.6
    science_pipelines_class: ClassVar[str] = "lsst.ip.isr.ptcDataset.PhotonTransferCurveDataset"
    reserved: ClassVar[frozenset[str]] = frozenset({"PTC_FIT_TYPE"})

    def __post_init__(self) -> None:
        nan = dict.fromkeys(self.gain, np.nan)
        defaults = {"gain_unadjusted": self.gain, "overscan_median": nan, "overscan_median_sigma": nan}
        for name in ("gain", "noise", "ptc_turnoff", *defaults):
            values = getattr(self, name) or defaults.get(name, {})
            if values.keys() != self.gain.keys():
                raise self._error(f"amplifiers of {name}", sorted(self.gain), sorted(values))
            object.__setattr__(self, name, {key: float(values[key]) for key in self.gain})
        object.__setattr__(self, "bad_amplifiers", frozenset(self.bad_amplifiers))

    @property
    def amplifiers(self) -> tuple[str, ...]:
        """Names of the amplifiers, in the order of the file."""
        return tuple(self.gain)

    @classmethod
    def _fields_from_tables(cls, tables: Sequence[CalibTable]) -> dict[str, Any]:
        table = tables[0]
        amplifiers = table.amplifiers("AMPLIFIER_NAME")
        fit_type = table.strings("PTC_FIT_TYPE")[0]
        noise = table.by_amplifier("NOISE", amplifiers)
        if cls._version(table) < _NOISE_IN_ELECTRON and fit_type == "FULLCOVARIANCE":
            noise = {name: float(np.sqrt(value)) for name, value in noise.items()}
        optional = {
            field: table.by_amplifier(column, amplifiers)
            for field, column in (
                ("gain_unadjusted", "GAIN_UNADJUSTED"),
                ("overscan_median", "OVERSCAN_MEDIAN"),
                ("overscan_median_sigma", "OVERSCAN_MEDIAN_SIGMA"),
            )
            if column in table
        }
        bad = table.columns["BAD_AMPS"].ravel() if "BAD_AMPS" in table else ()
        return {
            "gain": table.by_amplifier("GAIN", amplifiers),
            "noise": noise,
            "ptc_turnoff": table.by_amplifier("PTC_TURNOFF", amplifiers),
            "bad_amplifiers": frozenset(name for name in (str(one).strip() for one in bad) if name),
            "fit_type": fit_type,
            **optional,
        }

    def _header(self) -> dict[str, MetadataScalar]:
        return {"PTC_FIT_TYPE": self.fit_type}

    def _tables(self) -> list[CalibTable]:
        n = len(self.gain)
        columns: dict[str, np.ndarray] = {
            "AMPLIFIER_NAME": np.array(self.amplifiers),
            "PTC_FIT_TYPE": np.full(n, self.fit_type),
            "COV_MATRIX_SIDE": np.ones(n, dtype=np.int64),
            "COV_MATRIX_SIDE_FULL_COV_FIT": np.ones(n, dtype=np.int64),
            "EXP_ID_MASK": np.zeros((n, 1), dtype=bool),
            "EXP_ID_ROLLOFF_MASK": np.zeros((n, 1), dtype=bool),
            "GAIN": np.array([*self.gain.values()]),
            "GAIN_UNADJUSTED": np.array([*self.gain_unadjusted.values()]),
            "OVERSCAN_MEDIAN": np.array([*self.overscan_median.values()]),
            "OVERSCAN_MEDIAN_SIGMA": np.array([*self.overscan_median_sigma.values()]),
            "NOISE": np.array([*self.noise.values()]),
            "PTC_TURNOFF": np.array([*self.ptc_turnoff.values()]),
            "BAD_AMPS": np.tile(np.array(sorted(self.bad_amplifiers) or [""]), (n, 1)),
            "NPIXEL_COVARIANCES": np.full(n, -1, dtype=np.int64),
        }
        columns |= {name: np.full(n, np.nan) for name in _SCALARS}
        columns |= {name: np.full((n, 1), np.nan) for name in _SERIES}
        return [CalibTable(columns=columns)]

    def _check_values(self, detector: Detector, ignore: frozenset[str]) -> None:
        self._check_amplifiers(self.gain, detector, field="amplifiers")
        ignore |= self.bad_amplifiers
        if ignore.issuperset(self.gain):
            raise self._error("bad amplifiers", "an amplifier that can be used", sorted(ignore))
        self._check_finite(self.gain, field="gain (electron/adu)", ignore=ignore)
        self._check_finite(self.noise, field="noise (electron)", ignore=ignore, positive=False)
        # A turn-off of +inf means that there is none; NaN, that it was not found.
        turnoff = {name: value for name, value in self.ptc_turnoff.items() if value != np.inf}
        self._check_finite(turnoff, field="ptc_turnoff (adu)", ignore=ignore)
