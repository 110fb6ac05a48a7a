# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Plots of one detector of one visit."""

from __future__ import annotations

__all__ = ("DETECTOR_PLOTS", "DetectorPlotsConfig", "DetectorPlotsConnections", "DetectorPlotsTask")

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from astropy.table import Table
from matplotlib.figure import Figure

from lsst.images import Image
from lsst.images.cameras import Detector
from lsst.pex.config import ListField, RangeField
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
from .plots import (
    DetectorPlotData,
    make_title,
    plot_detector_amplifiers,
    plot_detector_astrometry,
    plot_detector_image,
    plot_detector_psf,
    plot_detector_sources,
)

DETECTOR_PLOTS: Mapping[str, Callable[[DetectorPlotData], Figure]] = MappingProxyType(
    {
        "imagePlot": plot_detector_image,
        "psfPlot": plot_detector_psf,
        "sourcePlot": plot_detector_sources,
        "amplifierPlot": plot_detector_amplifiers,
        "astrometryPlot": plot_detector_astrometry,
    }
)
"""Function that makes the plot of each output connection of
`DetectorPlotsTask`."""


class DetectorPlotsConnections(
    PipelineTaskConnections, dimensions=("instrument", "visit", "detector"), defaultTemplates={}
):
    """Datasets of `DetectorPlotsTask`.

    Parameters
    ----------
    config
        Configuration; the outputs of plots that it does not name are removed.
    """

    images = Input(
        doc="Binned, detrended image of the visit's one exposure, in electron per pixel.",
        name="rapid_isr_image_bin8",
        storageClass="ImageV2",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
    )
    stars = Input(
        doc="Sources with positions, moments, aperture fluxes in electron, and flags.",
        name="single_visit_star_unstandardized",
        storageClass="ArrowAstropy",
        dimensions=("instrument", "visit", "detector"),
    )
    metrics = Input(
        doc="Metrics of the detector.",
        name="rapid_detector_metrics",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit", "detector"),
    )
    imagePlot = Output(
        doc="The image with amplifiers and PSF stars.",
        name="rapid_detector_image_plot",
        storageClass="Plot",
        dimensions=("instrument", "visit", "detector"),
    )
    psfPlot = Output(
        doc="Size and shape of the PSF over the detector.",
        name="rapid_detector_psf_plot",
        storageClass="Plot",
        dimensions=("instrument", "visit", "detector"),
    )
    sourcePlot = Output(
        doc="Size, number and precision of the sources by brightness.",
        name="rapid_detector_source_plot",
        storageClass="Plot",
        dimensions=("instrument", "visit", "detector"),
    )

    amplifierPlot = Output(
        doc="Level and noise of the amplifiers.",
        name="rapid_detector_amplifier_plot",
        storageClass="Plot",
        dimensions=("instrument", "visit", "detector"),
    )
    astrometryPlot = Output(
        doc="Distances of the stars from their catalogue positions.",
        name="rapid_detector_astrometry_plot",
        storageClass="Plot",
        dimensions=("instrument", "visit", "detector"),
    )

    def __init__(self, *, config: Any = None) -> None:
        super().__init__(config=config)
        if config is not None:
            for name in DETECTOR_PLOTS.keys() - set(config.plots):
                delattr(self, name)


class DetectorPlotsConfig(PipelineTaskConfig, pipelineConnections=DetectorPlotsConnections):
    """Configuration of `DetectorPlotsTask`."""

    plots = ListField[str](
        dtype=str,
        default=list(DETECTOR_PLOTS),
        itemCheck=lambda name: name in DETECTOR_PLOTS,
        doc=f"Plots to make, each about a twentieth of a second: any of {', '.join(DETECTOR_PLOTS)}.",
    )
    binning = RangeField(
        dtype=int, default=8, min=1, doc="Side of a pixel of the binned image, in pixels of the detector."
    )


class DetectorPlotsTask(PipelineTask):
    """Draw what an observer wants to see of one detector.

    Notes
    -----
    To add a plot:

    1. write a function that takes a `.plots.DetectorPlotData` and returns a
       figure from `.plots.make_figure`, in a file of its own in
       ``tasks/plots/``;
    2. add an ``Output`` of storage class ``Plot`` to
       `DetectorPlotsConnections`;
    3. name the function for it in `DETECTOR_PLOTS`, under the same name.
    """

    ConfigClass: ClassVar[type[DetectorPlotsConfig]] = DetectorPlotsConfig
    config: DetectorPlotsConfig
    _DefaultName: ClassVar[str] = "detectorPlots"

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

        Raises
        ------
        NotImplementedError
            Raised if the visit has several exposures.
        """
        data_id = butlerQC.quantum.dataId
        assert data_id is not None, "Guaranteed by the executor."
        if len(inputRefs.images) != 1:
            exposures = [ref.dataId["exposure"] for ref in inputRefs.images]
            raise NotImplementedError(
                f"Visit {data_id['visit']} has the exposures {exposures}; "
                "only visits of one exposure can be plotted."
            )
        camera = load_camera(str(data_id["instrument"]))
        result = self.run(
            image=butlerQC.get(inputRefs.images[0]),
            stars=butlerQC.get(inputRefs.stars),
            metrics=butlerQC.get(inputRefs.metrics),
            detector=camera[int(data_id["detector"])],
        )
        butlerQC.put(result, outputRefs)

    def run(self, *, image: Image, stars: Table, metrics: Mapping[str, Any], detector: Detector) -> Struct:
        """Draw the plots of one detector.

        Parameters
        ----------
        image
            Binned, detrended image, in electron per pixel of the detector.
        stars
            Sources of the detector.
        metrics
            Metrics of the detector.
        detector
            Geometry of the detector.

        Returns
        -------
        result
            Struct with a `matplotlib.figure.Figure` for each of the
            configured plots, by the name of its connection.

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
            stars=stars,
            metrics=metrics,
            title=make_title(metrics, detector=f"{detector.name} ({detector.id})"),
        )
        return Struct(**{name: DETECTOR_PLOTS[name](data) for name in self.config.plots})
