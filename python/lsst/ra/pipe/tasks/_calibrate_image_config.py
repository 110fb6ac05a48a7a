# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Datasets and configuration of calibrateImage."""

from __future__ import annotations

__all__ = ("CalibrateImageConfig", "CalibrateImageConnections")

from lsst.pex.config import Field, ListField, RangeField
from lsst.pipe.base import PipelineTaskConfig, PipelineTaskConnections
from lsst.pipe.base.connectionTypes import Input, Output, PrerequisiteInput

from ..algorithms.measurement import MeasurementSettings


class CalibrateImageConnections(
    PipelineTaskConnections, dimensions=("instrument", "visit", "detector"), defaultTemplates={}
):
    """Datasets of `CalibrateImageTask`."""

    exposures = Input(
        doc="Detrended image of the visit's one exposure, in electron.",
        name="post_isr_image",
        storageClass="MaskedImageV2",
        dimensions=("instrument", "exposure", "detector"),
        multiple=True,
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
    references = PrerequisiteInput(
        doc="Reference catalogue: positions in degrees, fluxes in nJy; may be missing.",
        name="the_monster_20250219",
        storageClass="ArrowAstropy",
        dimensions=("htm7",),
        multiple=True,
        deferLoad=True,
        minimum=0,
    )
    exposure = Output(
        doc="The image minus its sky, with mask, variance, PSF, sky projection and summary statistics.",
        name="preliminary_visit_image",
        storageClass="VisitImage",
        dimensions=("instrument", "visit", "detector"),
    )
    background = Output(
        doc="Sky model that was subtracted, in electron, one pixel for each cell of its mesh: the value in "
        "the cell's centre. The model itself is in the visit image's backgrounds.",
        name="preliminary_visit_image_background",
        storageClass="ImageV2",
        dimensions=("instrument", "visit", "detector"),
    )
    stars = Output(
        doc="Sources with positions, moments, aperture fluxes in electron, and flags.",
        name="single_visit_star_unstandardized",
        storageClass="ArrowAstropy",
        dimensions=("instrument", "visit", "detector"),
    )
    metrics = Output(
        doc="Metrics that need pixels, input of detectorMetrics.",
        name="rapid_calibrate_metrics",
        storageClass="StructuredDataDict",
        dimensions=("instrument", "visit", "detector"),
    )


class CalibrateImageConfig(PipelineTaskConfig, pipelineConnections=CalibrateImageConnections):
    """Configuration of `CalibrateImageTask`."""

    unusablePlanes = ListField[str](
        dtype=str,
        default=["BAD", "NO_DATA", "UNMASKEDNAN"],
        doc="Mask planes of pixels that no measurement uses.",
    )
    doubtfulPlanes = ListField[str](
        dtype=str,
        default=["SAT", "SUSPECT", "INTRP", "CR", "EDGE", "ITL_DIP", "STREAK", "VIGNETTED"],
        doc="Mask planes of pixels that sources may contain, but that neither sky nor PSF use.",
    )
    saturatedPlanes = ListField[str](
        dtype=str, default=["SAT"], doc="Mask planes of saturated pixels; they mark a source as saturated."
    )
    backgroundBinSize = RangeField(
        dtype=int, default=128, min=16, doc="Side of a cell of the sky mesh, in pixels."
    )
    backgroundOrder = RangeField(
        dtype=int,
        default=6,
        min=0,
        max=20,
        inclusiveMax=True,
        doc="Highest order of the sky's Chebyshev polynomial.",
    )
    backgroundIterations = RangeField(
        dtype=int, default=3, min=1, doc="Most rounds of masking sources and fitting the sky again."
    )
    detectionThreshold = RangeField(
        dtype=float, default=5.0, min=3.0, doc="Least signal-to-noise ratio of a point source."
    )
    binFactor = RangeField(
        dtype=int,
        default=2,
        min=1,
        max=4,
        inclusiveMax=True,
        doc="Side of the blocks of pixels whose means serve sky and detection; single pixels do where stars"
        " are narrower than three quarters of a block.",
    )
    doCosmicRays = Field[bool](
        dtype=bool, default=True, doc="Find cosmic rays, set the mask plane CR and fill them in."
    )
    maxSources = RangeField(
        dtype=int, default=20000, min=1, doc="Measure at most so many sources, the brightest."
    )
    calibrationRadius = RangeField(
        dtype=float,
        default=12.0,
        min=3.0,
        doc="Radius of the aperture to which zero point and PSF fluxes refer, in pixels: one of the star"
        " table (3, 6, 9, 12, 17), or at least 1.5 from them.",
    )
    psfSignalToNoise = RangeField(
        dtype=float, default=50.0, min=5.0, doc="Signal-to-noise ratio that PSF stars must have."
    )
    psfFallbackSignalToNoise = RangeField(
        dtype=float,
        default=20.0,
        min=5.0,
        doc="Ratio used in its place where fewer than 10 sources reach psfSignalToNoise.",
    )
    maxPsfStars = RangeField(
        dtype=int, default=300, min=3, doc="Use at most so many PSF stars, the most significant."
    )
    fallbackPsfSigma = RangeField(
        dtype=float,
        default=2.0,
        min=0.1,
        doc="Standard deviation in pixels of the PSF attached to an image whose PSF could not be measured. "
        "The metrics and summary statistics of such an image stay NaN.",
    )
    writeSourceMask = Field[bool](
        dtype=bool, default=True, doc="Set the mask plane DETECTED where sources are."
    )

    def settings(self) -> MeasurementSettings:
        """Choices for the measurement.

        Returns
        -------
        settings
            The same values in the form that the algorithms take.
        """
        return MeasurementSettings(
            background_cell_size=self.backgroundBinSize,
            background_order=self.backgroundOrder,
            background_iterations=self.backgroundIterations,
            detection_threshold=self.detectionThreshold,
            bin_factor=self.binFactor,
            mask_cosmic_rays=self.doCosmicRays,
            max_sources=self.maxSources,
            min_psf_signal_to_noise=self.psfSignalToNoise,
            fallback_psf_signal_to_noise=self.psfFallbackSignalToNoise,
            max_psf_stars=self.maxPsfStars,
            calibration_radius=self.calibrationRadius,
        )
