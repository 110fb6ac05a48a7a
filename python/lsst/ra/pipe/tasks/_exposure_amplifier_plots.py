# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Plots of a whole bias, dark or flat exposure over the focal plane."""

from __future__ import annotations

__all__ = ("ExposureAmplifierPlotsConfig", "ExposureAmplifierPlotsConnections", "ExposureAmplifierPlotsTask")

from collections.abc import Mapping
from typing import Any, ClassVar

from astropy.table import Table

from lsst.images import Image
from lsst.pex.config import RangeField
from lsst.pipe.base import (
    InputQuantizedConnection,
    NoWorkFound,
    OutputQuantizedConnection,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    QuantumContext,
    Struct,
)
from lsst.pipe.base.connectionTypes import Input, Output

from ..algorithms.amplifiers import CalibrationKind
from ..camera import load_camera
from ._binned import check_binned_shape, read_binned_images
from .plots import (
    CALIBRATION_LEAST_ABOVE,
    calibration_facts,
    make_title,
    plot_amplifiers,
    plot_focal_plane,
)


class ExposureAmplifierPlotsConnections(
    PipelineTaskConnections, dimensions=("instrument", "exposure"), defaultTemplates={}
):
    """Datasets of `ExposureAmplifierPlotsTask`."""

    images = Input(
        doc="Coarsely binned images after ISR, of as many detectors as there are, in electron per pixel.",
        name="rapid_isr_image_bin64",
        storageClass="ImageV2",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
        deferLoad=True,
    )
    fineImages = Input(
        doc="The same in smaller blocks, read in their place when there are few detectors.",
        name="rapid_isr_image_bin8",
        storageClass="ImageV2",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
        deferLoad=True,
    )
    amplifiers = Input(
        doc="Metrics of all amplifiers.",
        name="rapid_calibration_amplifiers",
        storageClass="ArrowAstropy",
        dimensions=("instrument", "exposure"),
    )
    summary = Input(
        doc="Summary of the exposure.",
        name="rapid_calibration_summary",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "exposure"),
    )
    amplifierPlot = Output(
        doc="Metrics of the amplifiers over the focal plane.",
        name="rapid_amplifier_focal_plane_plot",
        storageClass="Plot",
        dimensions=("instrument", "exposure"),
    )
    focalPlanePlot = Output(
        doc="The images where they are in the focal plane.",
        name="rapid_calibration_focal_plane_plot",
        storageClass="Plot",
        dimensions=("instrument", "exposure"),
    )


class ExposureAmplifierPlotsConfig(PipelineTaskConfig, pipelineConnections=ExposureAmplifierPlotsConnections):
    """Configuration of `ExposureAmplifierPlotsTask`."""

    binning = RangeField(
        dtype=int, default=64, min=1, doc="Side of a pixel of ``images``, in pixels of the detector."
    )
    fineBinning = RangeField(
        dtype=int, default=8, min=1, doc="Side of a pixel of ``fineImages``, in pixels of the detector."
    )
    maxFineDetectors = RangeField(
        dtype=int,
        default=18,
        min=0,
        doc="Read ``fineImages`` if there are at most so many detectors: more would not be seen at the"
        " plot's scale, and take longer.",
    )


class ExposureAmplifierPlotsTask(PipelineTask):
    """Draw the focal plane of a calibration exposure: amplifiers coloured by
    their metrics, and the images.

    Detectors that are missing are drawn as such.
    """

    ConfigClass: ClassVar[type[ExposureAmplifierPlotsConfig]] = ExposureAmplifierPlotsConfig
    config: ExposureAmplifierPlotsConfig
    _DefaultName: ClassVar[str] = "exposureAmplifierPlots"

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
        images, binning = read_binned_images(butlerQC, inputRefs, config=self.config)
        result = self.run(
            images=images,
            binning=binning,
            amplifiers=butlerQC.get(inputRefs.amplifiers),
            summary=butlerQC.get(inputRefs.summary),
            instrument=str(data_id["instrument"]),
        )
        butlerQC.put(result, outputRefs)

    def run(
        self,
        *,
        images: Mapping[int, Image],
        binning: int,
        amplifiers: Table,
        summary: Mapping[str, Any],
        instrument: str,
    ) -> Struct:
        """Draw the plots of one exposure.

        Parameters
        ----------
        images
            Binned image of each detector by detector id, in electron per pixel
            of the detector.
        binning
            Side of a binned pixel in pixels of the detector.
        amplifiers
            Metrics, one row an amplifier.
        summary
            Summary of the exposure.
        instrument
            Butler instrument name.

        Returns
        -------
        result
            Struct with ``amplifierPlot`` and ``focalPlanePlot``
            (`matplotlib.figure.Figure`).

        Raises
        ------
        lsst.pipe.base.NoWorkFound
            Raised if no amplifier has metrics.
        ValueError
            Raised if an image is not the detector's in blocks of ``binning``.
        """
        if len(amplifiers) == 0:
            raise NoWorkFound(f"No amplifier of this {instrument} exposure has metrics.")
        camera = load_camera(instrument)
        for detector, image in images.items():
            check_binned_shape(image, detector=camera[detector], binning=binning)
        title = make_title(summary)
        detectors = ("detectors", f"{len(images)} of {summary['n_detectors_expected']}")
        return Struct(
            amplifierPlot=plot_amplifiers(
                amplifiers, kind=CalibrationKind(summary["calibration_kind"]), camera=camera, title=title
            ),
            focalPlanePlot=plot_focal_plane(
                {detector: image.array for detector, image in images.items()},
                binning=binning,
                camera=camera,
                title=title,
                facts=(detectors, *calibration_facts(summary)),
                least_above=CALIBRATION_LEAST_ABOVE,
            ),
        )
