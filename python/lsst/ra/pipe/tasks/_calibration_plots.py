# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Plots of one detector in a bias, dark or flat exposure."""

from __future__ import annotations

__all__ = ("CalibrationPlotsConfig", "CalibrationPlotsConnections", "CalibrationPlotsTask")

from collections.abc import Mapping
from typing import Any, ClassVar

from astropy.table import Table

from lsst.images import Image
from lsst.images.cameras import Detector
from lsst.pex.config import RangeField
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

from ..camera import load_camera
from ._binned import check_binned_shape
from .plots import DetectorPlotData, make_title, plot_calibration_image


class CalibrationPlotsConnections(
    PipelineTaskConnections, dimensions=("instrument", "exposure", "detector"), defaultTemplates={}
):
    """Datasets of `CalibrationPlotsTask`."""

    image = Input(
        doc="Binned image after ISR, in electron per pixel.",
        name="rapid_isr_image_bin8",
        storageClass="ImageV2",
        dimensions=("instrument", "exposure", "detector"),
    )
    metrics = Input(
        doc="Metrics of the detector.",
        name="rapid_calibration_metrics",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure", "detector"),
    )
    imagePlot = Output(
        doc="The image with the amplifiers and their headline metrics.",
        name="rapid_calibration_image_plot",
        storageClass="Plot",
        dimensions=("instrument", "exposure", "detector"),
    )


class CalibrationPlotsConfig(PipelineTaskConfig, pipelineConnections=CalibrationPlotsConnections):
    """Configuration of `CalibrationPlotsTask`."""

    binning = RangeField(
        dtype=int, default=8, min=1, doc="Side of a pixel of the binned image, in pixels of the detector."
    )


class CalibrationPlotsTask(PipelineTask):
    """Draw the image of one detector in a calibration exposure."""

    ConfigClass: ClassVar[type[CalibrationPlotsConfig]] = CalibrationPlotsConfig
    config: CalibrationPlotsConfig
    _DefaultName: ClassVar[str] = "calibrationPlots"

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
        inputs = butlerQC.get(inputRefs)
        detector = load_camera(str(data_id["instrument"]))[int(data_id["detector"])]
        butlerQC.put(self.run(**inputs, detector=detector), outputRefs)

    def run(self, *, image: Image, metrics: Mapping[str, Any], detector: Detector) -> Struct:
        """Draw the plot of one detector.

        Parameters
        ----------
        image
            Binned image after ISR, in electron per pixel of the detector.
        metrics
            Metrics of the detector.
        detector
            Geometry of the detector.

        Returns
        -------
        result
            Struct with ``imagePlot`` (`matplotlib.figure.Figure`).

        Raises
        ------
        ValueError
            Raised if the image is not the detector's, binned as configured.
        """
        check_binned_shape(image, detector=detector, binning=self.config.binning)
        data = DetectorPlotData(
            image=image.array,
            binning=self.config.binning,
            detector=detector,
            stars=Table(),
            metrics=metrics,
            title=make_title(metrics, detector=f"{detector.name} ({detector.id})"),
        )
        return Struct(imagePlot=plot_calibration_image(data))
