# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Everything that is measured on the image of one detector."""

from __future__ import annotations

__all__ = ("DetectorMeasurement", "measure_detector")

import dataclasses
import functools
import math

import numpy as np
import numpy.typing as npt

from ._aperture_correction import ApertureCorrection, fit_aperture_correction
from ._background import BackgroundModel, measure_noise
from ._cosmic_rays import CosmicRays
from ._detection import Detections
from ._higher_moments import HIGHER_MOMENTS, measure_higher_moments
from ._photometry import AperturePhotometry, measure_apertures
from ._pixels import SATURATED, PlaneBits, survey_pixels
from ._psf import PsfMeasurement, measure_psf
from ._psf_model import PsfModel, fit_psf_model
from ._psf_photometry import PsfPhotometry, measure_psf_fluxes
from ._separation import look_first, separate_sky
from ._settings import MeasurementSettings
from ._shapes import Shapes, measure_shapes
from ._star_selection import (
    StarSelection,
    isolated_sources,
    select_psf_stars,
    sharp_sources,
)

# Typical axis ratio of the brightest sources beyond which they are trails;
# distance of their peaks from their centroids, in rms radii, beyond which they
# are rings; and how many of them tell.
_TRAILED, _HOLLOW = 1.8, 0.8
# Ellipticity of the stars that no optics has.
_STRETCHED = 0.4
_BRIGHTEST, _ENOUGH_TO_JUDGE = 100, 8
# Fourth moment of the stars, M40 + 2 M22 + M04, below which they are discs or
# small rings: a Gaussian has 2, a Moffat profile more, a donut 1.4.
_FLAT = 1.75
_EDGE = 9.0
# Blocks are given up for pixels where the PSF's sigma is less than so many.
_NARROW = 0.75


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorMeasurement:
    """What `measure_detector` found."""

    background: BackgroundModel
    """Model of the sky."""

    image: npt.NDArray[np.float32]
    """``(ny, nx)`` image minus the sky model, cosmic rays filled in."""

    sky_noise: float
    """Standard deviation of a pixel of sky."""

    sky_variance: float
    """Mean of the variance plane over pixels of pure sky."""

    unlit: npt.NDArray[np.bool_]
    """``(cells_y, cells_x)`` parts of the image that the sky does not reach;
    nothing is measured there."""

    cosmic_rays: CosmicRays
    """Pixels hit by cosmic rays."""

    detections: Detections
    """The sources found."""

    shapes: Shapes
    """Their positions and adaptive moments."""

    photometry: AperturePhotometry
    """Their fluxes."""

    calibration_aperture: int
    """Index of the aperture to which zero point and PSF fluxes refer."""

    psf_photometry: PsfPhotometry
    """Their fluxes as point sources, in the system of the calibration
    aperture; NaN if there is no PSF model."""

    selection: StarSelection
    """Which of them are PSF stars."""

    psf: PsfMeasurement
    """The PSF; its fields are NaN if there are too few stars."""

    psf_model: PsfModel | None
    """Model of the PSF over the detector; `None` if there are too few
    stars."""

    aperture_correction: ApertureCorrection | None
    """What PSF fluxes were multiplied by; `None` without a model."""

    higher_moments: npt.NDArray[np.float64]
    """``(7,)`` medians of the PSF stars' `HIGHER_MOMENTS`."""

    is_saturated: npt.NDArray[np.bool_]
    """``(n,)`` whether a source's footprint holds a saturated pixel."""

    is_sharp: npt.NDArray[np.bool_]
    """``(n,)`` whether a source is more concentrated than a star can be."""

    is_edge: npt.NDArray[np.bool_]
    """``(n,)`` whether a source is within 9 pixels of the image's edge."""

    psf_status: str
    """``ok``, or why there is no PSF."""


def measure_detector(
    image: npt.NDArray[np.float32],
    *,
    variance: npt.NDArray[np.float32],
    mask: npt.NDArray[np.uint8],
    bits: PlaneBits,
    settings: MeasurementSettings | None = None,
) -> DetectorMeasurement:
    """Measure sky, sources and PSF of one detector's image.

    Sky and sources depend on each other: the sky is fitted, sources are
    found above it, masked with a margin, and the sky is fitted again, until
    it moves by less than a tenth of the pixel noise. Both are done on means
    of small blocks of pixels, all else on the pixels.

    Parameters
    ----------
    image
        Detrended pixels of shape ``(ny, nx)``, sky included.
    variance
        Their variance, of the same shape.
    mask
        Packed mask of shape ``(ny, nx, n_bytes)``.
    bits
        Meaning of the mask planes.
    settings
        Choices; defaults if not given.

    Returns
    -------
    measurement
        What was found. An image without sources, or without stars, is no
        error: its sky is measured, the rest is empty or NaN.

    Raises
    ------
    NoBackgroundError
        Raised if there are not enough good pixels to measure the sky.
    ValueError
        Raised if the arrays do not have matching shapes.
    """
    settings = settings or MeasurementSettings()
    if not image.shape == variance.shape == mask.shape[:2]:
        raise ValueError(
            f"Shapes do not match: image {image.shape}, variance {variance.shape}, mask {mask.shape}."
        )
    survey = functools.partial(survey_pixels, image, variance=variance, mask=mask, bits=bits)
    look = look_first(survey(factor=settings.bin_factor), settings)
    if look.psf_sigma < _NARROW * look.survey.factor and look.survey.factor > 1:
        # Stars no wider than the blocks would drown in them.
        look = look_first(survey(factor=1), settings)
    sky = separate_sky(image, variance, look, settings)
    subtracted = sky.background.subtract_from(image)
    rays = sky.cosmic_rays
    subtracted[rays.rows, rays.columns] += rays.values - image[rays.rows, rays.columns]
    bad = look.survey.bad
    shapes = measure_shapes(
        subtracted,
        variance=variance,
        bad=bad,
        x=sky.detections.x,
        y=sky.detections.y,
        start_sigma=look.psf_sigma,
    )
    photometry = measure_apertures(
        subtracted,
        variance=variance,
        bad=bad,
        x=shapes.x,
        y=shapes.y,
        radii=tuple(sorted({*settings.aperture_radii, settings.calibration_radius})),
        required_radius=settings.calibration_radius,
        wanted=shapes.signal_to_noise >= settings.min_psf_signal_to_noise,
    )
    is_saturated = sky.detections.footprints_with(look.survey.flags, bits=SATURATED)
    is_edge = _near_edge(shapes, image.shape)
    selection = _select_stars(shapes, is_saturated | is_edge, image.shape, settings)
    psf = measure_psf(
        subtracted, variance=variance, bad=bad, shapes=shapes, is_psf_star=selection.is_psf_star
    )
    stars = np.flatnonzero(selection.is_psf_star)
    higher = np.full(len(HIGHER_MOMENTS), np.nan)
    if stars.size:
        higher = np.median(measure_higher_moments(subtracted, bad=bad, shapes=shapes, stars=stars), axis=0)
    status = _psf_status(psf, sky.detections, kurtosis=higher[HIGHER_MOMENTS.index("kurtosis")])
    if status != "ok":
        psf, selection = PsfMeasurement(), StarSelection.none(len(sky.detections))
    model = None
    if status == "ok":
        model = fit_psf_model(
            subtracted,
            variance=variance,
            bad=bad,
            shapes=shapes,
            is_psf_star=selection.is_psf_star,
            profile=psf.profile,
        )
        if not np.isfinite(model.moments).all():
            status, model = "bad fit", None
            psf, selection = PsfMeasurement(), StarSelection.none(len(sky.detections))
    fluxes, correction = _measure_point_sources(
        subtracted,
        variance,
        bad,
        shapes,
        photometry,
        selection.is_psf_star,
        model,
        settings.calibration_radius,
    )
    noise = measure_noise(subtracted, bad=bad, flags=sky.not_sky, factor=look.survey.factor)
    step = 2 * look.survey.factor
    pure_sky = (sky.not_sky[::2, ::2] == 0) & (bad[::step, ::step] == 0)
    sky_variance = variance[::step, ::step][pure_sky]
    return DetectorMeasurement(
        background=sky.background,
        image=subtracted,
        sky_noise=noise,
        sky_variance=float(np.mean(sky_variance, dtype=np.float64)) if sky_variance.size else math.nan,
        unlit=look.unlit,
        cosmic_rays=rays,
        detections=sky.detections,
        shapes=shapes,
        photometry=photometry,
        calibration_aperture=photometry.radii.index(settings.calibration_radius),
        psf_photometry=fluxes,
        selection=selection,
        psf=psf,
        psf_model=model,
        aperture_correction=correction,
        higher_moments=higher if status == "ok" else np.full_like(higher, np.nan),
        is_saturated=is_saturated,
        is_sharp=sharp_sources(
            peak=shapes.peak,
            core_flux=photometry.flux[0],
            signal_to_noise=shapes.signal_to_noise,
            is_psf_star=selection.is_psf_star,
            noise=noise,
        ),
        is_edge=is_edge,
        psf_status=status,
    )


def _select_stars(
    shapes: Shapes, excluded: npt.NDArray[np.bool_], shape: tuple[int, ...], settings: MeasurementSettings
) -> StarSelection:
    """Select the stars that define the PSF."""
    usable = shapes.converged & (shapes.n_bad == 0) & ~excluded
    usable &= isolated_sources(
        shapes.x, shapes.y, brightness=shapes.signal_to_noise, radius=settings.isolation
    )
    return select_psf_stars(
        x=shapes.x,
        y=shapes.y,
        radius=shapes.radius,
        signal_to_noise=shapes.signal_to_noise,
        usable=usable,
        shape=(shape[0], shape[1]),
        min_signal_to_noise=settings.min_psf_signal_to_noise,
        fallback_signal_to_noise=settings.fallback_psf_signal_to_noise,
        max_stars=settings.max_psf_stars,
    )


def _psf_status(psf: PsfMeasurement, detections: Detections, *, kurtosis: float) -> str:
    """Say why there is no PSF, or ``ok``."""
    if not len(detections):
        return "no sources"
    if len(detections) >= _ENOUGH_TO_JUDGE:
        if np.median(detections.peak_offset[:_BRIGHTEST]) > _HOLLOW:
            return "out of focus"
        if np.median(detections.elongation[:_BRIGHTEST]) > _TRAILED:
            return "trailed"
    if kurtosis < _FLAT:
        return "out of focus"
    if psf.e_median > _STRETCHED:
        return "trailed"
    return "ok" if math.isfinite(psf.profile.fwhm) else "few stars"


def _measure_point_sources(
    image: npt.NDArray[np.float32],
    variance: npt.NDArray[np.float32],
    bad: npt.NDArray[np.uint8],
    shapes: Shapes,
    photometry: AperturePhotometry,
    is_psf_star: npt.NDArray[np.bool_],
    model: PsfModel | None,
    calibration_radius: float,
) -> tuple[PsfPhotometry, ApertureCorrection | None]:
    """Measure PSF fluxes, and bring them into the system of an aperture."""
    if model is None:
        nothing = np.full(shapes.x.size, np.nan)
        return PsfPhotometry(nothing, nothing.copy()), None
    fluxes = measure_psf_fluxes(image, variance=variance, bad=bad, x=shapes.x, y=shapes.y, model=model)
    aperture = photometry.radii.index(calibration_radius)
    correction = fit_aperture_correction(
        psf_flux=fluxes.flux,
        aperture_flux=photometry.flux[aperture],
        aperture_flux_err=photometry.flux_err[aperture],
        use=is_psf_star & ~photometry.is_truncated[aperture],
        x=shapes.x,
        y=shapes.y,
        model=model,
    )
    factor = correction.at(shapes.x, shapes.y)
    return PsfPhotometry(fluxes.flux * factor, fluxes.flux_err * factor), correction


def _near_edge(shapes: Shapes, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Tell which sources are close to the edge of the image."""
    inside = (shapes.x >= _EDGE) & (shapes.x <= shape[1] - 1 - _EDGE)
    inside &= (shapes.y >= _EDGE) & (shapes.y <= shape[0] - 1 - _EDGE)
    return ~inside
