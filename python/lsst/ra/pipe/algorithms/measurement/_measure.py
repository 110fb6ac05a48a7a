# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Everything that is measured on the image of one detector."""

from __future__ import annotations

__all__ = ("DetectorMeasurement", "MeasurementSettings", "PlaneBits", "measure_detector")

import dataclasses

import numpy as np
import numpy.typing as npt

from ._background import BackgroundModel, NoBackgroundError, fit_background
from ._detection import Detections, detect_sources
from ._photometry import APERTURE_RADII, AperturePhotometry, measure_apertures
from ._pixels import dilate, find_bad_pixels, set_plane
from ._psf import PsfMeasurement, measure_psf
from ._shapes import Shapes, measure_shapes
from ._star_selection import StarSelection, isolated_sources, select_psf_stars, sharp_sources

_SETTLED = 0.1
_EDGE = 9.0
_SOURCE = 4
_FIRST_LOOK_ROWS = 2


@dataclasses.dataclass(frozen=True)
class PlaneBits:
    """Bits of mask planes by what they mean for a measurement.

    Each is an ``(n_bytes,)`` array, as `lsst.images.MaskSchema.bitmask` gives
    it.
    """

    unusable: npt.NDArray[np.uint8]
    """Planes of pixels without a meaningful value."""

    doubtful: npt.NDArray[np.uint8]
    """Planes of pixels that may be summed, but not used for sky and PSF."""

    saturated: npt.NDArray[np.uint8]
    """Planes of saturated pixels."""


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

    detection_threshold: float = 8.0
    """Threshold in units of the noise of the smoothed image."""

    detection_bin_factor: int = 2
    """Side of the blocks in which the image is summed for detection, in
    pixels."""

    max_sources: int = 20000
    """Measure at most so many sources, the brightest."""

    min_psf_signal_to_noise: float = 50.0
    """Significance of PSF stars."""

    fallback_psf_signal_to_noise: float = 20.0
    """Significance of PSF stars where too few reach the other."""

    max_psf_stars: int = 300
    """Use at most so many PSF stars, the most significant."""

    isolation: float = 12.0
    """PSF stars have no notable neighbour within so many pixels."""

    aperture_radii: tuple[float, ...] = APERTURE_RADII
    """Radii of the photometric apertures, in pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorMeasurement:
    """What `measure_detector` found."""

    background: BackgroundModel
    """Model of the sky."""

    image: npt.NDArray[np.float32]
    """``(ny, nx)`` image minus the sky model."""

    sky_variance: float
    """Mean of the variance plane over pixels of pure sky."""

    detections: Detections
    """The sources found."""

    shapes: Shapes
    """Their positions and adaptive moments."""

    photometry: AperturePhotometry
    """Their fluxes."""

    selection: StarSelection
    """Which of them are PSF stars."""

    psf: PsfMeasurement
    """The PSF; its fields are NaN if there are too few stars."""

    is_saturated: npt.NDArray[np.bool_]
    """``(n,)`` whether a source's footprint holds a saturated pixel."""

    is_sharp: npt.NDArray[np.bool_]
    """``(n,)`` whether a source is more concentrated than a star can be."""

    is_edge: npt.NDArray[np.bool_]
    """``(n,)`` whether a source is within 9 pixels of the image's edge."""

    @property
    def psf_status(self) -> str:
        """``ok``, ``few stars`` or ``no sources``: why there is no PSF."""
        if np.isfinite(self.psf.profile.fwhm):
            return "ok"
        return "few stars" if len(self.detections) else "no sources"


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
    it moves by less than a tenth of the pixel noise.

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
    bad = find_bad_pixels(image, variance=variance, mask=mask, unusable=bits.unusable, doubtful=bits.doubtful)
    background, subtracted, detections, sky_bad = _separate_sky(image, bad, settings)
    shapes = measure_shapes(subtracted, variance=variance, bad=bad, x=detections.x, y=detections.y)
    photometry = measure_apertures(
        subtracted, variance=variance, bad=bad, x=shapes.x, y=shapes.y, radii=settings.aperture_radii
    )
    is_saturated = detections.footprints_with(mask, bits=bits.saturated)
    is_edge = _near_edge(shapes, image.shape)
    usable = shapes.converged & (shapes.n_bad == 0) & ~is_saturated & ~is_edge
    usable &= isolated_sources(
        shapes.x, shapes.y, brightness=shapes.signal_to_noise, radius=settings.isolation
    )
    selection = select_psf_stars(
        x=shapes.x,
        y=shapes.y,
        radius=shapes.radius,
        signal_to_noise=shapes.signal_to_noise,
        usable=usable,
        shape=(image.shape[0], image.shape[1]),
        min_signal_to_noise=settings.min_psf_signal_to_noise,
        fallback_signal_to_noise=settings.fallback_psf_signal_to_noise,
        max_stars=settings.max_psf_stars,
    )
    psf = measure_psf(
        subtracted, variance=variance, bad=bad, shapes=shapes, is_psf_star=selection.is_psf_star
    )
    is_sharp = sharp_sources(
        peak=shapes.peak,
        core_flux=photometry.flux[0],
        signal_to_noise=shapes.signal_to_noise,
        is_psf_star=selection.is_psf_star,
        noise=background.noise,
    )
    sky = sky_bad[::4, ::4] == 0
    sky_variance = float(np.mean(variance[::4, ::4][sky], dtype=np.float64)) if sky.any() else float("nan")
    return DetectorMeasurement(
        background=background,
        image=subtracted,
        sky_variance=sky_variance,
        detections=detections,
        shapes=shapes,
        photometry=photometry,
        selection=selection,
        psf=psf,
        is_saturated=is_saturated,
        is_sharp=is_sharp,
        is_edge=is_edge,
    )


def _separate_sky(
    image: npt.NDArray[np.float32], bad: npt.NDArray[np.uint8], settings: MeasurementSettings
) -> tuple[BackgroundModel, npt.NDArray[np.float32], Detections, npt.NDArray[np.uint8]]:
    """Fit the sky and find the sources above it, in turns.

    Returns the model, the image minus the model, the sources, and the array
    of bad pixels with those of sources added.
    """
    factor = settings.detection_bin_factor
    cell_size, order = settings.background_cell_size, settings.background_order
    background = fit_background(image, bad=bad, cell_size=cell_size, order=order, row_step=_FIRST_LOOK_ROWS)
    iteration = 0
    while True:
        subtracted = background.subtract_from(image)
        detections = detect_sources(
            subtracted,
            bad=bad,
            noise=background.mesh_noise,
            threshold=settings.detection_threshold,
            factor=factor,
            max_sources=settings.max_sources,
        )
        sky_bad = bad.copy()
        grown = dilate(detections.footprints, radius=-(-settings.source_growth // factor))
        set_plane(sky_bad[..., np.newaxis], flags=grown, factor=factor, byte=0, bit=_SOURCE)
        try:
            improved = fit_background(image, bad=sky_bad, cell_size=cell_size, order=order)
        except NoBackgroundError:
            # Sources everywhere: the clipped means are all there is.
            return background, subtracted, detections, sky_bad
        moved = np.abs(improved.evaluate_mesh() - background.evaluate_mesh()).max()
        background, iteration = improved, iteration + 1
        if moved <= _SETTLED * background.noise or iteration >= settings.background_iterations:
            return background, background.subtract_from(image), detections, sky_bad


def _near_edge(shapes: Shapes, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Tell which sources are close to the edge of the image."""
    inside = (shapes.x >= _EDGE) & (shapes.x <= shape[1] - 1 - _EDGE)
    inside &= (shapes.y >= _EDGE) & (shapes.y <= shape[0] - 1 - _EDGE)
    return ~inside
