# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Plots of a whole exposure over the focal plane."""

from __future__ import annotations

__all__ = ("ExposurePlotsConfig", "ExposurePlotsConnections", "ExposurePlotsTask")

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from astropy.coordinates import Angle
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

from ..algorithms.focal_plane import summarize
from ..camera import Camera, load_camera
from ._binned import check_binned_shape, read_binned_images
from .plots import column, format_value, make_title, plot_focal_plane, plot_focal_plane_metrics


class ExposurePlotsConnections(
    PipelineTaskConnections, dimensions=("instrument", "visit"), defaultTemplates={}
):
    """Datasets of `ExposurePlotsTask`."""

    images = Input(
        doc="Coarsely binned, detrended images of the detectors, of as many as there are, in electron per"
        " pixel.",
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
    detectors = Input(
        doc="Metrics of all detectors.",
        name="rapid_exposure_detectors",
        storageClass="ArrowAstropy",
        dimensions=("instrument", "visit"),
    )
    focalPlanePlot = Output(
        doc="The images where they are in the focal plane.",
        name="rapid_focal_plane_plot",
        storageClass="Plot",
        dimensions=("instrument", "visit"),
    )
    metricsPlot = Output(
        doc="Metrics over the focal plane.",
        name="rapid_focal_plane_metrics_plot",
        storageClass="Plot",
        dimensions=("instrument", "visit"),
    )


class ExposurePlotsConfig(PipelineTaskConfig, pipelineConnections=ExposurePlotsConnections):
    """Configuration of `ExposurePlotsTask`."""

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


class ExposurePlotsTask(PipelineTask):
    """Draw the focal plane: images where they belong, and metrics as colours.

    Detectors that are missing are drawn as such.
    """

    ConfigClass: ClassVar[type[ExposurePlotsConfig]] = ExposurePlotsConfig
    config: ExposurePlotsConfig
    _DefaultName: ClassVar[str] = "exposurePlots"

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
            detectors=butlerQC.get(inputRefs.detectors),
            instrument=str(data_id["instrument"]),
        )
        butlerQC.put(result, outputRefs)

    def run(self, *, images: Mapping[int, Image], binning: int, detectors: Table, instrument: str) -> Struct:
        """Draw the plots of one exposure.

        Parameters
        ----------
        images
            Binned image of each detector by detector id, in electron per pixel
            of the detector.
        binning
            Side of a binned pixel in pixels of the detector.
        detectors
            Metrics, one row a detector. There may be detectors with an image
            and without metrics, and the reverse.
        instrument
            Butler instrument name.

        Returns
        -------
        result
            Struct with ``focalPlanePlot`` and ``metricsPlot``
            (`matplotlib.figure.Figure`).

        Raises
        ------
        lsst.pipe.base.NoWorkFound
            Raised if no detector has metrics.
        ValueError
            Raised if an image is not the detector's in blocks of ``binning``.
        """
        if len(detectors) == 0:
            raise NoWorkFound(f"No detector of this {instrument} exposure has metrics.")
        camera = load_camera(instrument)
        for detector, image in images.items():
            check_binned_shape(image, detector=camera[detector], binning=binning)
        title = make_title(
            dict(zip(detectors.colnames, (value.item() for value in detectors[0]), strict=True))
        )
        focal_plane = plot_focal_plane(
            {detector: image.array for detector, image in images.items()},
            binning=binning,
            camera=camera,
            title=title,
            rotation=_rotation(detectors),
            facts=_facts(detectors, camera=camera, n_images=len(images)),
        )
        metrics = plot_focal_plane_metrics(detectors, camera=camera, title=title, imaged=images)
        return Struct(focalPlanePlot=focal_plane, metricsPlot=metrics)


def _rotation(detectors: Table) -> Angle | None:
    """Return the sky rotation angle, if it is known."""
    rotation = summarize(column(detectors, "rotation_degree")).median
    return Angle(rotation, "deg") if math.isfinite(rotation) else None


def _facts(detectors: Table, *, camera: Camera, n_images: int) -> tuple[tuple[str, str], ...]:
    """Return the headline metrics, medians over the detectors."""

    def median(name: str, spec: str, unit: str = "") -> str:
        return format_value(summarize(column(detectors, name)).median, spec, unit)

    n_measured = int(np.count_nonzero(np.isfinite(column(detectors, "psf_fwhm_arcsec"))))
    n_expected = sum(facts.purpose == "SCIENCE" for facts in camera.facts.values())
    n_sources = float(np.sum(np.maximum(column(detectors, "n_sources"), 0.0)))
    return (
        ("detectors", f"{n_images} of {n_expected}"),
        ("with PSF", f"{n_measured}"),
        ("PSF FWHM", median("psf_fwhm_arcsec", ".2f", "″")),
        ("ellipticity", median("psf_e", ".3f")),
        ("sky (electron)", median("sky_electron", ",.0f")),
        ("noise (electron)", median("sky_noise_electron", ".1f")),
        ("zero point (mag)", median("zero_point_mag", ".3f")),
        ("limit (mag)", median("magnitude_limit_mag", ".2f")),
        ("sources", format_value(n_sources, ",.0f")),
    )
