# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Gather the metrics of one detector of one visit."""

from __future__ import annotations

__all__ = ("DetectorMetricsConfig", "DetectorMetricsConnections", "DetectorMetricsTask")

from collections.abc import Mapping
from typing import Any, ClassVar

from astro_metadata_translator import ObservationInfo

from lsst.images.cameras import Detector
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

from ..algorithms.measurement import DETECTOR_METRICS, undefined_metrics
from ._metric_values import as_metric, exposure_facts


class DetectorMetricsConnections(
    PipelineTaskConnections, dimensions=("instrument", "visit", "detector"), defaultTemplates={}
):
    """Datasets of `DetectorMetricsTask`."""

    measured = Input(
        doc="Metrics that calibrateImage took from the pixels.",
        name="rapid_calibrate_metrics",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit", "detector"),
    )
    obs_infos = Input(
        doc="What the raw's header says about the observation.",
        name="raw.obs_info",
        storageClass="ObservationInfo",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
    )
    detectors = Input(
        doc="Geometry of the detector.",
        name="raw.detector",
        storageClass="DetectorV2",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
    )
    metrics = Output(
        doc="All metrics of the detector by name; lsst.ra.pipe.algorithms.measurement.DETECTOR_METRICS says "
        "what they are.",
        name="rapid_detector_metrics",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit", "detector"),
    )


class DetectorMetricsConfig(PipelineTaskConfig, pipelineConnections=DetectorMetricsConnections):
    """Configuration of `DetectorMetricsTask`: there is nothing to choose."""


class DetectorMetricsTask(PipelineTask):
    """Join what was measured with the facts of the exposure.

    The result is flat, complete and of simple types: every name of
    `~lsst.ra.pipe.algorithms.measurement.DETECTOR_METRICS` is there in its
    order, whatever could not be measured as NaN, -1 or an empty string.
    """

    ConfigClass: ClassVar[type[DetectorMetricsConfig]] = DetectorMetricsConfig
    config: DetectorMetricsConfig
    _DefaultName: ClassVar[str] = "detectorMetrics"

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
        inputs = butlerQC.get(inputRefs)
        data_id = butlerQC.quantum.dataId
        assert data_id is not None, "Guaranteed by the executor."
        result = self.run(
            measured=inputs["measured"],
            obs_info=inputs["obs_infos"][0],
            detector=inputs["detectors"][0],
            visit=int(data_id["visit"]),
            band=str(data_id["band"]),
        )
        butlerQC.put(result, outputRefs)

    def run(
        self,
        *,
        measured: Mapping[str, Any],
        obs_info: ObservationInfo,
        detector: Detector,
        visit: int,
        band: str,
    ) -> Struct:
        """Join the metrics of one detector.

        Parameters
        ----------
        measured
            Metrics of `CalibrateImageTask`.
        obs_info
            What the header says about the observation.
        detector
            Geometry of the detector.
        visit
            Visit number.
        band
            Short name of the passband.

        Returns
        -------
        result
            Struct with ``metrics``, a `dict`.

        Raises
        ------
        ValueError
            Raised if a metric is not defined, or not of its defined type.
        """
        if unknown := undefined_metrics(measured):
            raise ValueError(f"DETECTOR_METRICS does not define the metrics {unknown}.")
        values = {**exposure_facts(obs_info), **measured}
        values.update(
            instrument=detector.instrument,
            visit=visit,
            detector=detector.id,
            detector_name=detector.name,
            band=band,
        )
        metrics = {
            name: as_metric(name, values.get(name), definition.type)
            for name, definition in DETECTOR_METRICS.items()
        }
        return Struct(metrics=metrics)
