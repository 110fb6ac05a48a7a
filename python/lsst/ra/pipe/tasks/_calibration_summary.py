# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Summarise a bias, dark or flat exposure from the metrics of its amplifiers."""

from __future__ import annotations

__all__ = ("CalibrationSummaryConfig", "CalibrationSummaryConnections", "CalibrationSummaryTask")

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from lsst.pex.config import ListField
from lsst.pipe.base import (
    InputQuantizedConnection,
    OutputQuantizedConnection,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    QuantumContext,
    Struct,
)
from lsst.pipe.base.connectionTypes import Input, Output

from ..algorithms.amplifiers import AMPLIFIER_METRICS, summarize_amplifiers
from ..algorithms.focal_plane import summarize
from ..camera import load_camera
from ._amplifier_metrics import make_amplifier_table

_EXPOSURE_FACTS = (
    "instrument",
    "exposure",
    "day_obs",
    "seq_num",
    "physical_filter",
    "observation_type",
    "observation_reason",
    "science_program",
    "target",
    "exposure_time_second",
    "dark_time_second",
    "begin_mjd_tai",
    "calibration_kind",
)
"""Metrics that are the same for all detectors of an exposure."""


class CalibrationSummaryConnections(
    PipelineTaskConnections, dimensions=("instrument", "exposure"), defaultTemplates={}
):
    """Datasets of `CalibrationSummaryTask`."""

    metrics = Input(
        doc="Metrics of the detectors, of as many as there are.",
        name="rapid_calibration_metrics",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
    )
    detectorAmplifiers = Input(
        doc="Metrics of the amplifiers of the same detectors.",
        name="rapid_amplifier_metrics",
        storageClass="ArrowAstropy",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
    )
    summary = Output(
        doc="Medians, scatters and extremes over all amplifiers, with the names of the extreme ones; total "
        "counts; which detectors are missing.",
        name="rapid_calibration_summary",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure"),
    )
    amplifiers = Output(
        doc="All amplifiers in one table, in order of detector.",
        name="rapid_calibration_amplifiers",
        storageClass="ArrowAstropy",
        dimensions=("instrument", "exposure"),
    )


class CalibrationSummaryConfig(PipelineTaskConfig, pipelineConnections=CalibrationSummaryConnections):
    """Configuration of `CalibrationSummaryTask`."""

    expectedPurposes = ListField[str](
        dtype=str,
        default=["SCIENCE"],
        doc="Purposes of the detectors that an exposure should have; the others do not count as missing.",
    )


class CalibrationSummaryTask(PipelineTask):
    """Summarise a calibration exposure from the detectors that are there."""

    ConfigClass: ClassVar[type[CalibrationSummaryConfig]] = CalibrationSummaryConfig
    config: CalibrationSummaryConfig
    _DefaultName: ClassVar[str] = "calibrationSummary"

    inputs_read_only: ClassVar[bool] = True
    """The inputs are not changed (`bool`)."""

    def runQuantum(
        self,
        butlerQC: QuantumContext,
        inputRefs: InputQuantizedConnection,
        outputRefs: OutputQuantizedConnection,
    ) -> None:
        """Read the inputs, run, write.

        Parameters
        ----------
        butlerQC
            Access to the datasets of this quantum.
        inputRefs, outputRefs
            References to them.
        """
        data_id = butlerQC.quantum.dataId
        assert data_id is not None, "Guaranteed by the executor."
        result = self.run(
            metrics={int(ref.dataId["detector"]): butlerQC.get(ref) for ref in inputRefs.metrics},
            amplifiers={
                int(ref.dataId["detector"]): butlerQC.get(ref) for ref in inputRefs.detectorAmplifiers
            },
            instrument=str(data_id["instrument"]),
        )
        butlerQC.put(result, outputRefs)

    def run(
        self, *, metrics: Mapping[int, Mapping[str, Any]], amplifiers: Mapping[int, Table], instrument: str
    ) -> Struct:
        """Summarise an exposure.

        Parameters
        ----------
        metrics
            Metrics of each detector, by detector id.
        amplifiers
            Metrics of the amplifiers of each detector, by detector id.
        instrument
            Butler instrument name.

        Returns
        -------
        result
            Struct with ``summary`` (`dict`) and ``amplifiers``
            (`astropy.table.Table`).

        Raises
        ------
        ValueError
            Raised if there are no metrics.
        """
        if not metrics or not amplifiers:
            raise ValueError(f"No detector of this {instrument} exposure has metrics.")
        tables = [amplifiers[detector] for detector in sorted(amplifiers)]
        columns = {
            name: np.concatenate([np.asarray(table[name]) for table in tables]) for name in AMPLIFIER_METRICS
        }
        first = metrics[min(metrics)]
        expected = {
            detector
            for detector, facts in load_camera(instrument).facts.items()
            if facts.purpose in self.config.expectedPurposes
        }
        missing = sorted(expected - set(amplifiers))
        summary: dict[str, Any] = {
            **{name: first[name] for name in _EXPOSURE_FACTS},
            "n_detectors": len(tables),
            "n_detectors_expected": len(expected),
            "n_detectors_missing": len(missing),
            "detectors_missing": missing,
            **summarize_amplifiers(columns),
            **_name_amplifiers(columns),
        }
        return Struct(summary=summary, amplifiers=make_amplifier_table(columns))


def _name_amplifiers(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Name the bad amplifiers and the extreme ones, with the scatter that tells how extreme they are."""
    names = [
        f"{detector}_{amplifier}"
        for detector, amplifier in zip(columns["detector_name"], columns["amplifier"], strict=True)
    ]
    values: dict[str, Any] = {
        "bad_amplifiers": [names[index] for index in np.flatnonzero(columns["n_good_pixels"] == 0)]
    }
    for name, definition in AMPLIFIER_METRICS.items():
        if definition.type is float:
            statistics = summarize(columns[name])
            values[f"{name}_scatter"] = statistics.scatter
            for end, index in (("min", statistics.argmin), ("max", statistics.argmax)):
                values[f"{name}_{end}_amplifier"] = names[index] if index >= 0 else ""
    return values
