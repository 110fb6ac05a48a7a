# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

__all__ = ("AlertHistory", "ExposureMetrics", "ExposureRecord")

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
from astropy.table import Table

from ...algorithms.focal_plane import summarize
from ._metric_names import STATISTICS

_FACTS = (
    "instrument",
    "day_obs",
    "physical_filter",
    "band",
    "observation_type",
    "observation_reason",
    "science_program",
    "target",
    "exposure_time_second",
)
"""What is remembered of an exposure beside its metrics."""

MAX_HISTORY = 300
"""Exposures of an instrument that are remembered."""


class ExposureRecord(pydantic.BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What is remembered of an exposure, to compare later ones with."""

    exposure: int
    """Butler ``exposure``."""

    facts: dict[str, str | int | float]
    """What kind of exposure it was."""

    values: dict[str, float]
    """Known metrics by name."""

    rules: tuple[str, ...] = ()
    """Names of the rules whose alerts of it are known to observers."""


AlertHistory = Iterable[ExposureRecord]
"""Earlier exposures of the same instrument, in any order."""


@dataclasses.dataclass(frozen=True)
class ExposureMetrics:
    """The metrics of one exposure, as rules see them."""

    summary: Mapping[str, Any]
    """``rapid_exposure_summary`` or ``rapid_calibration_summary``."""

    detectors: Table = dataclasses.field(default_factory=Table)
    """``rapid_exposure_detectors``; empty for a calibration exposure."""

    amplifiers: Table = dataclasses.field(default_factory=Table)
    """``rapid_calibration_amplifiers``; empty for an exposure of the sky."""

    @property
    def exposure(self) -> int:
        """Butler ``exposure`` (`int`)."""
        return int(self.summary["exposure"])

    @property
    def instrument(self) -> str:
        """Butler ``instrument`` (`str`)."""
        return str(self.summary["instrument"])

    @property
    def day_obs(self) -> int:
        """Day of observation as YYYYMMDD (`int`)."""
        return int(self.summary["day_obs"])

    def facts(self) -> dict[str, str | int | float]:
        """Return what kind of exposure it is.

        Returns
        -------
        facts
            Those of its facts that are known.
        """
        known = {name: self.summary[name] for name in _FACTS if name in self.summary}
        return {name: value for name, value in known.items() if value == value and value not in ("", None)}

    def value(self, name: str) -> float:
        """Find a metric of the exposure.

        Parameters
        ----------
        name
            One of `EXPOSURE_METRICS`.

        Returns
        -------
        value
            The value from the summary, or else from the table of detectors;
            NaN if it is not known.
        """
        if name in self.summary:
            return _as_number(self.summary[name])
        metric, _, statistic = name.rpartition("_")
        if statistic not in STATISTICS or metric not in self.detectors.colnames:
            return math.nan
        statistics = summarize(column_numbers(self.detectors, metric))
        return {
            "median": statistics.median,
            "scatter": statistics.scatter,
            "min": statistics.minimum,
            "max": statistics.maximum,
        }[statistic]

    def record(self, names: Iterable[str]) -> ExposureRecord:
        """Make what is to be remembered.

        Parameters
        ----------
        names
            Metrics that later exposures are compared in.

        Returns
        -------
        record
            Facts, and those of the metrics that are known.
        """
        values = {name: self.value(name) for name in sorted(set(names))}
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        return ExposureRecord(exposure=self.exposure, facts=self.facts(), values=known)


def column_numbers(table: Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column as numbers.

    Parameters
    ----------
    table
        The table.
    name
        Name of a column of numbers.

    Returns
    -------
    values
        The values; NaN where an integer is -1, which stands for not known.
    """
    values = np.asarray(table[name])
    if values.dtype.kind == "i":
        return np.where(values == -1, np.nan, values)
    return values.astype(np.float64)


def _as_number(value: object) -> float:
    """Return a number; NaN for what is no number or not known."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return math.nan if isinstance(value, int) and value == -1 else float(value)
