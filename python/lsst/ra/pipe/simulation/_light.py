# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The light that falls on a detector, without noise."""

from __future__ import annotations

__all__ = (
    "draw_objects",
    "draw_star",
    "expected_sky",
    "illuminate",
    "psf_on_detector",
    "total_zero_point",
)

import numpy as np
import scipy.interpolate

from lsst.images.cameras import Detector

from ._config import BAND_PHOTOMETRY, SimulationConfig
from ._exposures import ImageType, SimulatedExposure
from ._optics import shadow
from ._psf import PsfField, add_objects, donut_profile, kolmogorov_profile, moffat_profile
from ._view import NODES, DetectorView, field_angles, to_pixel_axes


def total_zero_point(exposure: SimulatedExposure) -> float:
    """Return the zero point of an exposure.

    Parameters
    ----------
    exposure
        Gives band and time.

    Returns
    -------
    zero_point
        AB magnitude that gives one electron in the exposure, unvignetted.
    """
    photometry = BAND_PHOTOMETRY[exposure.band]
    return photometry.zero_point + 2.5 * float(np.log10(max(exposure.exposure_time, 1e-3)))


def illuminate(
    config: SimulationConfig, detector: Detector, exposure: SimulatedExposure, view: DetectorView
) -> np.ndarray:
    """Return the expected light of sky or lamp.

    Parameters
    ----------
    config
        The simulation.
    detector
        The detector.
    exposure
        The exposure.
    view
        Where the detector looks.

    Returns
    -------
    light
        Electrons per pixel on a grid of shape ``(33, 33)`` over the detector.
    """
    match exposure.image_type:
        case ImageType.SCIENCE:
            magnitude = config.sky_magnitude
            if magnitude is None:
                magnitude = BAND_PHOTOMETRY[exposure.band].sky
            per_arcsec2 = 10.0 ** (0.4 * (total_zero_point(exposure) - magnitude))
            light = np.asarray(per_arcsec2 * view.pixel_scale**2 * view.illumination)
        case ImageType.FLAT:  # by a projector that fills the beam evenly
            light = np.full(view.illumination.shape, config.flat_level)
        case _:
            return np.zeros(view.illumination.shape)
    if config.shadow_in_flat:
        return light
    nx = detector.bbox.x.size
    return np.asarray(light * shadow(config, np.linspace(0, nx - 1, NODES), nx))


def expected_sky(
    config: SimulationConfig,
    detector: Detector,
    exposure: SimulatedExposure,
    view: DetectorView,
    x: np.ndarray,
    y: np.ndarray,
) -> np.ndarray:
    """Return the expected level of sky or lamp after the flat.

    Parameters
    ----------
    config
        The simulation.
    detector
        The detector.
    exposure
        The exposure.
    view
        Where the detector looks.
    x, y
        Pixel positions, of one shape.

    Returns
    -------
    level
        Electrons, of that shape.
    """
    ny, nx = detector.bbox.shape
    nodes = np.linspace(0, ny - 1, NODES), np.linspace(0, nx - 1, NODES)
    grid = illuminate(config, detector, exposure, view)
    return np.asarray(scipy.interpolate.RegularGridInterpolator(nodes, grid)((y, x)))


def draw_objects(
    image: np.ndarray,
    config: SimulationConfig,
    *,
    seeing: np.ndarray,
    pixel_scale: float,
    threshold: float = 0.01,
    **objects: np.ndarray,
) -> None:
    """Draw objects, in or out of focus, trailed or not.

    Parameters
    ----------
    image
        Image of shape ``(ny, nx)``, float32, changed in place.
    config
        Gives profile, focus and trail.
    seeing
        FWHM of the PSF at each object, arcsec.
    pixel_scale
        Side of a pixel, arcsec.
    threshold
        Surface brightness per pixel at which an object ends.
    **objects
        ``x``, ``y``, ``flux``, ``fwhm``, ``e1`` and ``e2`` as `add_objects`
        takes them, but ``fwhm`` in arcsec.
    """
    profile = moffat_profile(config.moffat_beta)
    if config.psf_profile == "kolmogorov":
        profile = kolmogorov_profile()
    if config.donut_diameter is not None:
        sharp = float(np.median(seeing)) if seeing.size else 1.0
        profile = donut_profile(round(sharp / config.donut_diameter, 3))
        objects["fwhm"] = np.sqrt(config.donut_diameter**2 + objects["fwhm"] ** 2 - np.square(seeing))
    objects["fwhm"] = objects["fwhm"] / pixel_scale
    length = config.trail / pixel_scale
    if length > 0.0 and objects["fwhm"].size:
        n = int(np.ceil(4.0 * length / objects["fwhm"].min())) + 1
        step = (np.arange(n) - 0.5 * (n - 1)) / n * length
        angle = np.deg2rad(config.trail_angle)
        objects = {name: np.repeat(values, n) for name, values in objects.items()}
        objects["flux"] = objects["flux"] / n
        objects["x"] = objects["x"] + np.tile(step * np.cos(angle), objects["x"].size // n)
        objects["y"] = objects["y"] + np.tile(step * np.sin(angle), objects["y"].size // n)
    add_objects(image, profile=profile, threshold=threshold, **objects)


def draw_star(
    config: SimulationConfig,
    detector: Detector,
    exposure: SimulatedExposure,
    view: DetectorView,
    x: float,
    y: float,
    *,
    size: int,
) -> np.ndarray:
    """Draw a star of unit flux, without noise.

    Parameters
    ----------
    config
        The simulation.
    detector
        The detector.
    exposure
        The exposure.
    view
        Where the detector looks.
    x, y
        Pixel position at which the PSF is taken.
    size
        Side of the stamp, odd.

    Returns
    -------
    stamp
        Pixels of shape ``(size, size)``, float64; the star is in the middle
        of the middle one.
    """
    angles = field_angles(detector, np.array([x]), np.array([y]))
    fwhm, e1, e2 = psf_on_detector(PsfField.draw(config, exposure.exposure_id), view, *angles)
    stamp = np.zeros((size, size), np.float32)
    middle = np.array([(size - 1) / 2.0])
    draw_objects(
        stamp,
        config,
        seeing=fwhm,
        pixel_scale=view.pixel_scale,
        threshold=1e-3,
        x=middle,
        y=middle,
        flux=np.array([1e6]),
        fwhm=fwhm,
        e1=e1,
        e2=e2,
    )
    return stamp.astype(np.float64) / 1e6


def psf_on_detector(
    field: PsfField, view: DetectorView, field_x: np.ndarray, field_y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the PSF at some field angles.

    Parameters
    ----------
    field
        The PSF over the field of view.
    view
        Gives the detector's axes.
    field_x, field_y
        Field angles, degrees.

    Returns
    -------
    fwhm
        Geometric-mean FWHM before integration over pixels, arcsec.
    e1, e2
        Ellipticity along the pixel axes.
    """
    fwhm, e1, e2 = field.at(field_x, field_y)
    return fwhm, *to_pixel_axes(e1, e2, view.to_focal_plane)
