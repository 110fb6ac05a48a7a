# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Measure sky, sources and PSF of one detector of one visit."""

from __future__ import annotations

__all__ = (
    "CalibrateImageConfig",
    "CalibrateImageConnections",
    "CalibrateImageTask",
    "NoGoodPixelsError",
    "NoSkyProjectionError",
)

import math
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
from astro_metadata_translator import ObservationInfo

from lsst.images import (
    BackgroundMap,
    DetectorFrame,
    Image,
    Mask,
    MaskedImage,
    ObservationSummaryStats,
    SkyProjection,
    VisitImage,
)
from lsst.images.cameras import Detector
from lsst.images.fields import ChebyshevField
from lsst.images.psfs import GaussianPointSpreadFunction
from lsst.pex.config import Field, ListField, RangeField
from lsst.pipe.base import (
    AlgorithmError,
    InputQuantizedConnection,
    OutputQuantizedConnection,
    PipelineTask,
    PipelineTaskConfig,
    PipelineTaskConnections,
    QuantumContext,
    Struct,
)
from lsst.pipe.base.connectionTypes import Input, Output

from ..algorithms.measurement import (
    DetectorMeasurement,
    MeasurementSettings,
    NoBackgroundError,
    PlaneBits,
    make_star_table,
    measure_detector,
    set_plane,
)
from ._calibrate_summary import compute_metrics, compute_summary_stats, locate_detector, sky_positions

_PSF_STAMP_SIZE = 41


class NoGoodPixelsError(AlgorithmError):
    """The image has too few usable pixels to measure even its sky.

    Parameters
    ----------
    message
        What was found.
    bad_fraction
        Fraction of the pixels that are masked or not finite.
    """

    def __init__(self, message: str, *, bad_fraction: float) -> None:
        super().__init__(message)
        self.bad_fraction = bad_fraction

    @property
    def metadata(self) -> dict[str, Any]:
        """Fraction of bad pixels (`dict`)."""
        return {"bad_fraction": self.bad_fraction}


class NoSkyProjectionError(AlgorithmError):
    """The header gave no pointing, so that pixels have no place on the sky."""

    @property
    def metadata(self) -> dict[str, Any]:
        """Nothing more (`dict`)."""
        return {}


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
        dtype=int, default=6, min=0, max=20, doc="Highest order of the sky's Chebyshev polynomial."
    )
    backgroundIterations = RangeField(
        dtype=int, default=3, min=1, doc="Most rounds of masking sources and fitting the sky again."
    )
    detectionThreshold = RangeField(
        dtype=float, default=8.0, min=3.0, doc="Threshold in units of the smoothed image's noise."
    )
    detectionBinFactor = RangeField(
        dtype=int,
        default=2,
        min=1,
        max=8,
        doc="Side of the blocks summed before detection, in pixels; larger is faster and blends more.",
    )
    maxSources = RangeField(
        dtype=int, default=20000, min=1, doc="Measure at most so many sources, the brightest."
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
            detection_bin_factor=self.detectionBinFactor,
            max_sources=self.maxSources,
            min_psf_signal_to_noise=self.psfSignalToNoise,
            fallback_psf_signal_to_noise=self.psfFallbackSignalToNoise,
            max_psf_stars=self.maxPsfStars,
        )


class CalibrateImageTask(PipelineTask):
    """Measure sky, sources and PSF, and attach them to the image.

    It stands where the Alert Production has its own ``calibrateImage``, and
    writes datasets of the same names. Photometric and astrometric calibration
    against a reference catalogue are not done: fluxes are in electron and
    positions come from the header's pointing.
    """

    ConfigClass: ClassVar[type[CalibrateImageConfig]] = CalibrateImageConfig
    config: CalibrateImageConfig
    _DefaultName: ClassVar[str] = "calibrateImage"

    def runQuantum(
        self,
        butlerQC: QuantumContext,
        inputRefs: InputQuantizedConnection,
        outputRefs: OutputQuantizedConnection,
    ) -> None:
        """Read the inputs of the visit's one exposure, run, write.

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
        if len(inputRefs.exposures) != 1:
            exposures = [ref.dataId["exposure"] for ref in inputRefs.exposures]
            raise NotImplementedError(
                f"Visit {data_id['visit']} has the exposures {exposures}; "
                "only visits of one exposure can be processed."
            )
        inputs = butlerQC.get(inputRefs)
        result = self.run(
            image=inputs["exposures"][0],
            obs_info=inputs["obs_infos"][0],
            detector=inputs["detectors"][0],
            band=str(data_id["band"]),
        )
        butlerQC.put(result, outputRefs)

    def run(self, *, image: MaskedImage, obs_info: ObservationInfo, detector: Detector, band: str) -> Struct:
        """Measure one detector's image.

        Parameters
        ----------
        image
            Detrended image in electron, with its sky projection.
        obs_info
            What the header says about the observation.
        detector
            Geometry of the detector.
        band
            Short name of the passband.

        Returns
        -------
        result
            Struct with ``exposure`` (`lsst.images.VisitImage`),
            ``background`` (`lsst.images.Image`), ``stars``
            (`astropy.table.Table`) and ``metrics`` (`dict`). An image
            without stars is no error: what needs them is NaN, the metric
            ``psf_status`` says so, and the attached PSF is a Gaussian of
            ``fallbackPsfSigma``.

        Raises
        ------
        NoGoodPixelsError
            Raised if too few pixels are usable to measure the sky.
        NoSkyProjectionError
            Raised if the image has no sky projection.
        ValueError
            Raised if the image is not in electron, or its mask lacks a plane
            that the configuration names.
        """
        label = f"{detector.instrument} exposure {obs_info.exposure_id} detector {detector.name}"
        if image.unit != u.electron:
            raise ValueError(f"{label}: expected an image in electron, found the unit {image.unit}.")
        if image.sky_projection is None:
            raise NoSkyProjectionError(
                f"{label}: the image has no sky projection, as its header gives no pointing."
            )
        measurement = self._measure(image, label)
        if measurement.psf_status != "ok":
            self.log.warning(
                "%s: the PSF could not be measured (%s); sky %.1f electron.",
                label,
                measurement.psf_status,
                measurement.background.level,
            )
        mask = self._mark_sources(image.mask, measurement)
        projection: SkyProjection[DetectorFrame] = image.sky_projection
        placement = locate_detector(projection, image.bbox)
        x0, y0 = image.bbox.x.min, image.bbox.y.min
        ra, dec = sky_positions(projection, measurement.shapes.x + x0, measurement.shapes.y + y0)
        stars = make_star_table(measurement, ra=ra, dec=dec, origin=(x0, y0))
        exposure = self._make_visit_image(
            image,
            measurement,
            mask=mask,
            obs_info=obs_info,
            detector=detector,
            band=band,
            summary_stats=compute_summary_stats(measurement, placement, obs_info),
        )
        background = Image(measurement.background.evaluate_mesh(), unit=u.electron)
        metrics = compute_metrics(measurement, placement, mask)
        return Struct(exposure=exposure, background=background, stars=stars, metrics=metrics)

    def _measure(self, image: MaskedImage, label: str) -> DetectorMeasurement:
        """Run the algorithms on the arrays of the image."""
        schema = image.mask.schema
        planes = {*self.config.unusablePlanes, *self.config.doubtfulPlanes, *self.config.saturatedPlanes}
        if missing := sorted(planes - set(schema.names)):
            raise ValueError(
                f"{label}: the configuration names the mask planes {missing}, "
                f"the image has {sorted(schema.names)}."
            )
        bits = PlaneBits(
            unusable=schema.bitmask(*self.config.unusablePlanes),
            doubtful=schema.bitmask(*self.config.doubtfulPlanes),
            saturated=schema.bitmask(*self.config.saturatedPlanes),
        )
        try:
            return measure_detector(
                np.ascontiguousarray(image.image.array, dtype=np.float32),
                variance=np.ascontiguousarray(image.variance.array, dtype=np.float32),
                mask=np.ascontiguousarray(image.mask.array),
                bits=bits,
                settings=self.config.settings(),
            )
        except NoBackgroundError as error:
            unusable = ~np.isfinite(image.image.array)
            for plane in (*self.config.unusablePlanes, *self.config.doubtfulPlanes):
                unusable |= image.mask.get(plane)
            raise NoGoodPixelsError(f"{label}: {error}", bad_fraction=float(unusable.mean())) from error

    def _mark_sources(self, mask: Mask, measurement: DetectorMeasurement) -> Mask:
        """Copy the mask and set DETECTED in the sources' footprints."""
        result = mask.copy()
        if self.config.writeSourceMask and "DETECTED" in mask.schema.names:
            bit = mask.schema.bit("DETECTED")
            detections = measurement.detections
            set_plane(
                result.array,
                flags=detections.footprints,
                factor=detections.factor,
                byte=bit.index,
                bit=int(bit.mask),
            )
        return result

    def _make_visit_image(
        self,
        image: MaskedImage,
        measurement: DetectorMeasurement,
        *,
        mask: Mask,
        obs_info: ObservationInfo,
        detector: Detector,
        band: str,
        summary_stats: ObservationSummaryStats,
    ) -> VisitImage:
        """Put the sky-subtracted image and all that belongs to it together."""
        sky = ChebyshevField(image.bbox, measurement.background.coefficients.copy(), unit=u.electron)
        backgrounds = BackgroundMap()
        backgrounds.add(
            "sky", sky, "Chebyshev polynomial fitted to clipped means in a mesh.", is_subtracted=True
        )
        sigma = measurement.psf.sigma
        is_measured = math.isfinite(sigma)
        psf = GaussianPointSpreadFunction(
            sigma if is_measured else self.config.fallbackPsfSigma, image.bbox, _PSF_STAMP_SIZE
        )
        metadata: dict[str, Any] = dict(image.metadata.items())
        metadata["psf_is_measured"] = is_measured
        return VisitImage(
            Image(measurement.image, bbox=image.bbox, unit=u.electron),
            mask=mask,
            variance=image.variance,
            sky_projection=image.sky_projection,
            obs_info=obs_info,
            summary_stats=summary_stats,
            psf=psf,
            detector=detector,
            backgrounds=backgrounds,
            band=band,
            metadata=metadata,
        )
