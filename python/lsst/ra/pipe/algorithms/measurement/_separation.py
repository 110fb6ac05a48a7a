# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Sky and sources, which depend on each other, told apart."""

from __future__ import annotations

__all__ = ("FirstLook", "Separation", "look_first", "separate_sky")

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ._background import (
    BackgroundModel,
    NoBackgroundError,
    SkyMesh,
    find_unlit_cells,
    fit_background,
    measure_mesh,
)
from ._cosmic_rays import CosmicRays, find_cosmic_rays
from ._detection import Detections, detect_sources, find_peaks
from ._pixels import DOUBTFUL, UNUSABLE, PixelSurvey, dilate, set_plane
from ._settings import MeasurementSettings
from ._shapes import measure_shapes
from ._star_selection import locus_centre

_SETTLED = 0.1
_SOURCE = 8
_DEFAULT_SIGMA = 2.0
_NARROWEST = 0.45


@dataclasses.dataclass(frozen=True, eq=False)
class FirstLook:
    """What the means of blocks tell before sources are known."""

    survey: PixelSurvey
    unlit: npt.NDArray[np.bool_]
    background: BackgroundModel
    psf_sigma: float


@dataclasses.dataclass(frozen=True, eq=False)
class Separation:
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


def look_first(survey: PixelSurvey, settings: MeasurementSettings) -> FirstLook:
    """Leave out what has no sky, fit the sky roughly, guess the seeing."""
    mesh = _mesh(survey, survey.flags, settings)
    unlit = find_unlit_cells(mesh)
    _leave_out(unlit, survey)
    background = fit_background(mesh.without(unlit), order=settings.background_order)
    subtracted = background.subtract_from(survey.mean, factor=survey.factor)
    return FirstLook(survey, unlit, background, _guess_psf_sigma(subtracted, survey, background.noise))


def separate_sky(
    image: npt.NDArray[np.float32],
    variance: npt.NDArray[np.float32],
    look: FirstLook,
    settings: MeasurementSettings,
) -> Separation:
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
    return Separation(background, detections, rays, not_sky)


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
