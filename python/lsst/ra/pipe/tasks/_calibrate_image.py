# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Measure sky, sources and PSF of one detector of one visit."""

from __future__ import annotations

__all__ = (
    "CalibrateImageTask",
    "NoGoodPixelsError",
    "NoSkyProjectionError",
)

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astro_metadata_translator import ObservationInfo
from astropy.table import Table, vstack

from lsst.daf.butler import DeferredDatasetHandle
from lsst.images import (
    BackgroundMap,
    Box,
    Image,
    Mask,
    MaskedImage,
    ObservationSummaryStats,
    VisitImage,
)
from lsst.images.cameras import Detector
from lsst.images.fields import ChebyshevField, Field
from lsst.images.psfs import GaussianPointSpreadFunction, PointSpreadFunction
from lsst.pipe.base import (
    AlgorithmError,
    InputQuantizedConnection,
    OutputQuantizedConnection,
    PipelineTask,
    QuantumContext,
    Struct,
)

from ..algorithms.calibration import nanojansky_per_electron
from ..algorithms.measurement import (
    DetectorMeasurement,
    NoBackgroundError,
    PlaneBits,
    StarReferences,
    make_star_table,
    measure_detector,
    set_plane,
)
from ._calibrate_image_config import CalibrateImageConfig
from ._calibrate_summary import sky_positions, summarize_calibration
from ._piff_psf import load_piff, make_piff_psf
from ._reference_calibration import ReferenceCalibration, calibrate_with_references

_PSF_STAMP_SIZE = 41
_PSF_FLUX = "base_PsfFlux_instFlux"
"""Name of the PSF flux in the Science Pipelines' aperture corrections."""


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


class CalibrateImageTask(PipelineTask):
    """Measure sky, sources and PSF, and attach them to the image.

    It stands where the Alert Production has its own ``calibrateImage``, and
    writes datasets of the same names. Positions and the zero point are fitted
    to a reference catalogue. Pixels and fluxes stay in electron; the visit
    image has the factor to nJy as its ``photometric_scaling``.

    Parameters
    ----------
    **kwargs
        Arguments of `lsst.pipe.base.PipelineTask`.
    """

    ConfigClass: ClassVar[type[CalibrateImageConfig]] = CalibrateImageConfig
    config: CalibrateImageConfig
    _DefaultName: ClassVar[str] = "calibrateImage"

    inputs_read_only: ClassVar[bool] = True
    """The inputs are not changed (`bool`)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        load_piff()

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
            references=_read_references(inputs["references"]),
        )
        butlerQC.put(result, outputRefs)

    def run(
        self,
        *,
        image: MaskedImage,
        obs_info: ObservationInfo,
        detector: Detector,
        band: str,
        references: Table | None = None,
    ) -> Struct:
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
        references
            Stars of a reference catalogue on and around the detector; see
            `.calibrate_with_references`.

        Returns
        -------
        result
            Struct with ``exposure`` (`lsst.images.VisitImage`),
            ``background`` (`lsst.images.Image`), ``stars``
            (`astropy.table.Table`) and ``metrics`` (`dict`). An image
            without stars, or without references, is no error: what needs
            them is NaN, and the metrics ``psf_status``,
            ``astrometry_status`` and ``photometry_status`` say so. The PSF
            attached to an image without stars is a Gaussian of
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
        calibration = calibrate_with_references(
            measurement,
            references,
            projection=image.sky_projection,
            bbox=image.bbox,
            band=band,
            time=obs_info.datetime_begin,
        )
        self._report(label, calibration, has_references=references is not None)
        if measurement.unlit.any():
            self.log.warning(
                "%s: %.0f %% of the image has no sky and is left out.",
                label,
                100.0 * measurement.unlit.mean(),
            )
        mask = self._mark(image.mask, measurement)
        summary = summarize_calibration(
            measurement, calibration, image=image, obs_info=obs_info, detector=detector, band=band
        )
        x0, y0 = image.bbox.x.min, image.bbox.y.min
        ra, dec = sky_positions(calibration.projection, measurement.shapes.x + x0, measurement.shapes.y + y0)
        stars = make_star_table(
            measurement, ra=ra, dec=dec, origin=(x0, y0), references=_star_references(calibration)
        )
        exposure = self._make_visit_image(
            image,
            measurement,
            calibration,
            mask=mask,
            obs_info=obs_info,
            detector=detector,
            band=band,
            summary_stats=summary.stats(),
        )
        background = Image(measurement.background.evaluate_mesh(), unit=u.electron)
        metrics = summary.metrics(mask)
        return Struct(exposure=exposure, background=background, stars=stars, metrics=metrics)

    def _report(self, label: str, calibration: ReferenceCalibration, *, has_references: bool) -> None:
        """Log why there is no calibration; a missing catalogue is no news."""
        if has_references and calibration.astrometry_status != "ok":
            self.log.warning(
                "%s: no astrometric solution (%s); positions are those of the header's pointing.",
                label,
                calibration.astrometry_status,
            )
        elif has_references and calibration.photometry_status != "ok":
            self.log.warning("%s: no zero point (%s).", label, calibration.photometry_status)

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

    def _mark(self, mask: Mask, measurement: DetectorMeasurement) -> Mask:
        """Copy the mask; set DETECTED in the sources' footprints, CR where
        cosmic rays were, and VIGNETTED where the sky does not reach.
        """
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
        if "CR" in mask.schema.names:
            bit = mask.schema.bit("CR")
            rays = measurement.cosmic_rays
            result.array[rays.rows, rays.columns, bit.index] |= np.uint8(bit.mask)
        if "VIGNETTED" in mask.schema.names and measurement.unlit.any():
            bit = mask.schema.bit("VIGNETTED")
            rows, columns = (
                np.arange(size) * cells // size
                for cells, size in zip(measurement.unlit.shape, mask.array.shape[:2], strict=True)
            )
            unlit = measurement.unlit[rows[:, np.newaxis], columns]
            result.array[unlit, bit.index] |= np.uint8(bit.mask)
        return result

    def _make_visit_image(
        self,
        image: MaskedImage,
        measurement: DetectorMeasurement,
        calibration: ReferenceCalibration,
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
        metadata: dict[str, Any] = dict(image.metadata.items())
        metadata["psf_is_measured"] = measurement.psf_model is not None
        return VisitImage(
            Image(measurement.image, bbox=image.bbox, unit=u.electron),
            mask=mask,
            variance=image.variance,
            sky_projection=calibration.projection,
            obs_info=obs_info,
            summary_stats=summary_stats,
            photometric_scaling=_photometric_scaling(calibration, image.bbox),
            psf=self._make_psf(measurement, image.bbox),
            detector=detector,
            aperture_corrections=_aperture_corrections(measurement, image.bbox),
            backgrounds=backgrounds,
            band=band,
            metadata=metadata,
        )

    def _make_psf(self, measurement: DetectorMeasurement, bbox: Box) -> PointSpreadFunction:
        """Make the PSF that goes with the image."""
        if measurement.psf_model is None:
            return GaussianPointSpreadFunction(self.config.fallbackPsfSigma, bbox, _PSF_STAMP_SIZE)
        return make_piff_psf(measurement.psf_model, bbox)


def _read_references(handles: Iterable[DeferredDatasetHandle]) -> Table | None:
    """Join the shards of the reference catalogue; `None` if there is none."""
    shards = [handle.get() for handle in sorted(handles, key=lambda handle: handle.dataId["htm7"])]
    return vstack(shards, metadata_conflicts="silent") if shards else None


def _star_references(calibration: ReferenceCalibration) -> StarReferences:
    """Spread what is known of the matched stars over all sources."""
    astrometry, zero_point = calibration.astrometry, calibration.zero_point
    source = astrometry.source_index

    def spread(values: npt.NDArray[Any], missing: float) -> npt.NDArray[Any]:
        column = np.full(calibration.ref_id.size, missing, dtype=values.dtype)
        column[source] = values
        return column

    return StarReferences(
        ref_id=calibration.ref_id,
        ref_mag=calibration.ref_mag,
        residual_x=spread(astrometry.residual_x, np.nan),
        residual_y=spread(astrometry.residual_y, np.nan),
        residual_mag=spread(zero_point.residual, np.nan),
        is_astrometry_used=spread(astrometry.used, False),
        is_photometry_used=spread(zero_point.used, False),
    )


def _photometric_scaling(calibration: ReferenceCalibration, bbox: Box) -> ChebyshevField | None:
    """Make the factor from electron to nJy, if it is known."""
    zero_point = calibration.zero_point.zero_point
    if not math.isfinite(zero_point):
        return None
    factor = np.array([[nanojansky_per_electron(zero_point)]])
    return ChebyshevField(bbox, factor, unit=u.nJy / u.electron)


def _aperture_corrections(measurement: DetectorMeasurement, bbox: Box) -> dict[str, Field]:
    """Make the field of the aperture corrections, if it is known."""
    correction = measurement.aperture_correction
    if correction is None:
        return {}
    # 1, u and v are T0 T0, T0 T1 and T1 T0.
    constant, along_x, along_y = np.append(correction.coefficients, np.zeros(3))[:3]
    return {_PSF_FLUX: ChebyshevField(bbox, np.array([[constant, along_x], [along_y, 0.0]]))}
