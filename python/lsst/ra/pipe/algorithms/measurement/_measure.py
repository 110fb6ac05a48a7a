# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Everything that is measured on the image of one detector."""

from __future__ import annotations

__all__ = ("DetectorMeasurement", "MeasurementSettings", "measure_detector")

import dataclasses
import functools
import math

import numpy as np
import numpy.typing as npt

from ._aperture_correction import ApertureCorrection, fit_aperture_correction
from ._background import (
    BackgroundModel,
    NoBackgroundError,
    SkyMesh,
    find_unlit_cells,
    fit_background,
    measure_mesh,
    measure_noise,
)
from ._cosmic_rays import CosmicRays, find_cosmic_rays
from ._detection import Detections, detect_sources, find_peaks
from ._higher_moments import HIGHER_MOMENTS, measure_higher_moments
from ._photometry import APERTURE_RADII, CALIBRATION_RADIUS, AperturePhotometry, measure_apertures
from ._pixels import DOUBTFUL, SATURATED, UNUSABLE, PixelSurvey, PlaneBits, dilate, set_plane, survey_pixels
from ._psf import PsfMeasurement, measure_psf
from ._psf_model import PsfModel, fit_psf_model
from ._psf_photometry import PsfPhotometry, measure_psf_fluxes
from ._shapes import Shapes, measure_shapes
from ._star_selection import (
    StarSelection,
    isolated_sources,
    locus_centre,
    select_psf_stars,
    sharp_sources,
)

_SETTLED = 0.1
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
_SOURCE = 8
_DEFAULT_SIGMA = 2.0
# Blocks are given up for pixels where the PSF's sigma is less than so many.
_NARROW = 0.75
_NARROWEST = 0.45


@dataclasses.dataclass(frozen=True)
class MeasurementSettings:
    """What can be chosen about the measurement of a detector."""

    background_cell_size: int = 128
    """Side of a cell of the background mesh, in pixels."""

    background_order: int = 6
    """Highest order of the background's Chebyshev polynomial."""

    background_iterations: int = 3
    """Most rounds of masking sources and fitting the background anew."""

    source_growth: int = 8
    """Distance by which footprints are widened when sources are masked for
    the background, in pixels."""

    detection_threshold: float = 5.0
    """Least signal-to-noise ratio of a point source."""

    bin_factor: int = 2
    """Side of the blocks of pixels whose means serve the sky and the
    detection, in pixels."""

    max_sources: int = 20000
    """Measure at most so many sources, the brightest."""

    mask_cosmic_rays: bool = True
    """Whether to look for cosmic rays."""

    min_psf_signal_to_noise: float = 50.0
    """Significance of PSF stars."""

    fallback_psf_signal_to_noise: float = 20.0
    """Significance of PSF stars where too few reach the other."""

    max_psf_stars: int = 300
    """Use at most so many PSF stars, the most significant."""

    isolation: float = 12.0
    """PSF stars have no notable neighbour within so many pixels."""

    aperture_radii: tuple[float, ...] = APERTURE_RADII
    """Radii of the photometric apertures, in pixels, besides the next."""

    calibration_radius: float = CALIBRATION_RADIUS
    """Radius of the aperture to which zero point and PSF fluxes refer, in
    pixels."""


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
    look = _look_first(survey(factor=settings.bin_factor), settings)
    if look.psf_sigma < _NARROW * look.survey.factor and look.survey.factor > 1:
        # Stars no wider than the blocks would drown in them.
        look = _look_first(survey(factor=1), settings)
    sky = _separate_sky(image, variance, look, settings)
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


@dataclasses.dataclass(frozen=True, eq=False)
class _FirstLook:
    """What the means of blocks tell before sources are known."""

    survey: PixelSurvey
    unlit: npt.NDArray[np.bool_]
    background: BackgroundModel
    psf_sigma: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Sky:
    """The sky, and what stands above it."""

    background: BackgroundModel
    detections: Detections
    cosmic_rays: CosmicRays
    not_sky: npt.NDArray[np.uint8]


def _mesh(survey: PixelSurvey, flags: npt.NDArray[np.uint8], settings: MeasurementSettings) -> SkyMesh:
    """Measure the sky's mesh on the means of blocks."""
    return measure_mesh(
        survey.mean,
        bad=flags,
        cell_size=settings.background_cell_size,
        factor=survey.factor,
        shape=(survey.bad.shape[0], survey.bad.shape[1]),
    )


def _look_first(survey: PixelSurvey, settings: MeasurementSettings) -> _FirstLook:
    """Leave out what has no sky, fit the sky roughly, guess the seeing."""
    mesh = _mesh(survey, survey.flags, settings)
    unlit = find_unlit_cells(mesh)
    _leave_out(unlit, survey)
    background = fit_background(mesh.without(unlit), order=settings.background_order)
    subtracted = background.subtract_from(survey.mean, factor=survey.factor)
    return _FirstLook(survey, unlit, background, _guess_psf_sigma(subtracted, survey, background.noise))


def _separate_sky(
    image: npt.NDArray[np.float32],
    variance: npt.NDArray[np.float32],
    look: _FirstLook,
    settings: MeasurementSettings,
) -> _Sky:
    """Fit the sky and find the sources above it, in turns.

    Cosmic rays are taken out of the survey's means on the way.
    """
    survey, background, sigma = look.survey, look.background, look.psf_sigma
    factor = survey.factor
    rays = CosmicRays.none()
    if settings.mask_cosmic_rays:
        rays = find_cosmic_rays(
            image, variance=variance, bad=survey.bad, sky=background.evaluate_mesh(), sigma=sigma
        )
        _remove_cosmic_rays(image, survey, rays)
    for _ in range(settings.background_iterations):
        detections = detect_sources(
            background.subtract_from(survey.mean, factor=factor),
            flags=survey.flags,
            noise=background.mesh_noise,
            threshold=settings.detection_threshold,
            factor=factor,
            sigma=sigma,
            max_sources=settings.max_sources,
        )
        not_sky = survey.flags.copy()
        grown = dilate(detections.footprints, radius=-(-settings.source_growth // detections.factor))
        set_plane(
            not_sky[..., np.newaxis], flags=grown, factor=detections.factor // factor, byte=0, bit=_SOURCE
        )
        try:
            mesh = _mesh(survey, not_sky, settings)
            improved = fit_background(mesh, order=settings.background_order)
        except NoBackgroundError:
            # Sources everywhere: the clipped means are all there is.
            break
        moved = np.abs(improved.evaluate_mesh() - background.evaluate_mesh()).max()
        background = improved
        if moved <= _SETTLED * factor * background.noise:
            break
    return _Sky(background, detections, rays, not_sky)


def _leave_out(cells: npt.NDArray[np.bool_], survey: PixelSurvey) -> None:
    """Make pixels and blocks of some cells unusable."""
    for array in (survey.flags, survey.bad):
        rows, columns = (
            np.arange(n + 1) * size // n for n, size in zip(cells.shape, array.shape, strict=True)
        )
        for j, i in zip(*np.nonzero(cells), strict=True):
            array[rows[j] : rows[j + 1], columns[i] : columns[i + 1]] |= UNUSABLE


def _guess_psf_sigma(subtracted: npt.NDArray[np.float32], survey: PixelSurvey, noise: float) -> float:
    """Size of the stars among the brightest peaks, in pixels."""
    factor = survey.factor
    x, y = find_peaks(subtracted, flags=survey.flags, noise=noise)
    shapes = measure_shapes(
        subtracted,
        variance=np.full_like(subtracted, noise**2),
        bad=survey.flags,
        x=x,
        y=y,
        start_sigma=_DEFAULT_SIGMA / factor,
    )
    radius = shapes.radius
    radius = radius[np.isfinite(radius) & (radius > _NARROWEST)]
    if radius.size < 3:
        return _DEFAULT_SIGMA
    # A block is a wider pixel.
    square = (factor * math.exp(locus_centre(np.log(radius)))) ** 2 - (factor**2 - 1) / 12.0
    return math.sqrt(max(square, _NARROWEST**2))


def _remove_cosmic_rays(image: npt.NDArray[np.float32], survey: PixelSurvey, rays: CosmicRays) -> None:
    """Correct the means of the blocks, and doubt the pixels."""
    survey.bad[rays.rows, rays.columns] |= DOUBTFUL
    change = (rays.values - image[rays.rows, rays.columns]) / survey.factor**2
    np.add.at(survey.mean, (rays.rows // survey.factor, rays.columns // survey.factor), change)


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
