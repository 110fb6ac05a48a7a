# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""One detector in one exposure: what is in its field, and its pixels."""

from __future__ import annotations

__all__ = ("DetectorTruth", "ObservedObjects", "render")

import dataclasses

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

from lsst.images.cameras import Detector

from ..camera import Camera
from ._ccd import Ccd
from ._config import SimulationConfig
from ._electronics import add_cosmic_rays, bleed, collect_charge, read_out
from ._exposures import SimulatedExposure
from ._light import draw_objects, draw_star, illuminate, psf_on_detector, total_zero_point
from ._moments import adaptive_moments, aperture_fraction
from ._optics import shadow, vignetting
from ._psf import PsfField
from ._random import Stream, random_stream
from ._sky import SkyCatalog
from ._view import NODES, DetectorView, field_angles, to_pixel_axes, view_detector

_MARGIN = 0.03
"""How far outside the detector objects are drawn, degrees."""
_APERTURE = 12.0
"""Radius of the aperture of `DetectorTruth.zero_point_12_pixels`, pixels."""
_LIGHT_TRUTH = (
    *("psf_fwhm_arcsec", "e1", "e2", "psf_sigma_pixel", "psf_e1", "psf_e2"),
    *("zero_point", "zero_point_12_pixels", "boresight_ra", "boresight_dec", "rotation"),
)
"""Fields of `DetectorTruth` that an exposure without sky has as NaN."""
_LIT = 0.99
"""Least transmission of the shadow where the true level of the sky is taken."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObservedObjects:
    """Objects as a detector sees them; arrays of shape ``(n,)``."""

    catalog: SkyCatalog
    """The objects on the sky."""
    x: np.ndarray
    """Column, 0-based pixel centres of the assembled CCD."""
    y: np.ndarray
    """Row."""
    magnitude: np.ndarray
    """AB magnitude in the band of the exposure."""
    flux: np.ndarray
    """Total flux after vignetting, electron."""
    fwhm: np.ndarray
    """FWHM with the PSF before integration over pixels, arcsec."""
    e1: np.ndarray
    """Ellipticity with the PSF, along the pixel axes."""
    e2: np.ndarray
    """Ellipticity with the PSF, along the pixel diagonals."""
    psf_fwhm: np.ndarray
    """FWHM of the PSF, arcsec."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorTruth:
    """Numbers that measurements on one detector can be held against."""

    psf_fwhm_arcsec: float
    """FWHM of the PSF before integration over pixels at the centre of the
    detector; NaN without light."""
    e1: float
    """PSF ellipticity (Ixx - Iyy) / (Ixx + Iyy) at the centre, pixel axes."""
    e2: float
    """PSF ellipticity 2 Ixy / (Ixx + Iyy) at the centre, pixel axes."""
    psf_sigma_pixel: float
    """Determinant radius of the adaptive moments of a star at the centre,
    integration over pixels included; NaN without light, or for a donut."""
    psf_e1: float
    """(Ixx - Iyy) / (Ixx + Iyy) of those moments."""
    psf_e2: float
    """2 Ixy / (Ixx + Iyy) of those moments."""
    sky_electron: float
    """Median expected sky or lamp level over the detector after the flat,
    electron; vignetting included, the shadow's area left out."""
    noise_electron: float
    """Median standard deviation of a pixel of sky there after the flat,
    electron."""
    vignetting: float
    """Transmission at the centre."""
    pixel_scale_arcsec: float
    """Side of a pixel at the centre."""
    zero_point: float
    """AB magnitude that gives one electron in this exposure, unvignetted."""
    zero_point_12_pixels: float
    """The same for the light of a star within 12 pixels of its middle, at the
    centre of the detector, vignetting included."""
    boresight_ra: float
    """True ICRS right ascension of the boresight, degrees; NaN without sky."""
    boresight_dec: float
    """True ICRS declination of the boresight, degrees."""
    rotation: float
    """True sky rotation angle, degrees."""
    n_stars: int
    """Stars whose centre is on the detector."""
    n_galaxies: int
    """Galaxies whose centre is on the detector."""
    n_cosmic_rays: int
    """Tracks of cosmic rays."""
    n_full_well_pixels: int
    """Pixels above full well before bleeding."""


def observe(
    config: SimulationConfig,
    camera: Camera,
    detector: Detector,
    exposure: SimulatedExposure,
    view: DetectorView,
) -> ObservedObjects:
    """Project the sky on a detector.

    Parameters
    ----------
    config
        Gives the sky.
    camera
        Gives the projection.
    detector
        The detector.
    exposure
        Gives pointing, band and time.
    view
        Where the detector looks.

    Returns
    -------
    objects
        Objects on the detector and those near enough to shine into it.
    """
    catalog = SkyCatalog.in_circle(
        config, ra=float(view.centre.ra.deg), dec=float(view.centre.dec.deg), radius=view.radius + _MARGIN
    )
    x, y = _pixels(camera, detector, exposure, catalog)
    ny, nx = detector.bbox.shape
    reach = 3600.0 * _MARGIN / view.pixel_scale
    near = (x > -reach) & (x < nx + reach) & (y > -reach) & (y < ny + reach)
    catalog, x, y = catalog.select(near), x[near], y[near]

    field_x, field_y = field_angles(detector, x, y)
    field = PsfField.draw(config, exposure.exposure_id)
    psf_fwhm, psf_e1, psf_e2 = psf_on_detector(field, view, field_x, field_y)
    galaxy_e1, galaxy_e2 = to_pixel_axes(catalog.e1, catalog.e2, view.to_sky)
    # A galaxy is a PSF-shaped blob whose second moments are the sum of both.
    fwhm = np.hypot(psf_fwhm, catalog.size)
    share = (catalog.size / fwhm) ** 2
    magnitude = catalog.magnitude(exposure.band)
    flux = 10.0 ** (0.4 * (total_zero_point(exposure) - magnitude))
    if config.vignetting:
        flux *= vignetting(np.hypot(field_x, field_y))
    if not config.shadow_in_flat:
        flux *= shadow(config, x, nx)
    return ObservedObjects(
        catalog=catalog,
        x=x,
        y=y,
        magnitude=magnitude,
        flux=flux,
        fwhm=fwhm,
        e1=psf_e1 * (1.0 - share) + galaxy_e1 * share,
        e2=psf_e2 * (1.0 - share) + galaxy_e2 * share,
        psf_fwhm=psf_fwhm,
    )


def _pixels(
    camera: Camera, detector: Detector, exposure: SimulatedExposure, catalog: SkyCatalog
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel positions of objects; AST takes no empty arrays."""
    if not len(catalog):
        return np.zeros(0), np.zeros(0)
    projection = camera.sky_projection(detector.id, boresight=exposure.boresight, rotation=exposure.rotation)
    position = projection.sky_to_pixel(SkyCoord(catalog.ra * u.deg, catalog.dec * u.deg))
    return np.asarray(position.x), np.asarray(position.y)


def render(
    config: SimulationConfig, camera: Camera, ccd: Ccd, exposure: SimulatedExposure
) -> tuple[np.ndarray, DetectorTruth, ObservedObjects | None]:
    """Simulate one detector of one exposure.

    Parameters
    ----------
    config
        What to simulate.
    camera
        The camera.
    ccd
        The detector as it is.
    exposure
        The exposure.

    Returns
    -------
    counts
        Counts (adu), int32, of shape ``(n_amp, raw_ny, raw_nx)``.
    truth
        What the image was made of.
    objects
        Objects whose centre is on the detector; `None` without sky.
    """
    detector = ccd.detector
    view = view_detector(camera, detector, exposure, vignetted=config.vignetting)
    background = illuminate(config, detector, exposure, view)
    charge = np.zeros(ccd.shape, np.float32)
    objects = None
    if exposure.sees_sky:
        objects = observe(config, camera, detector, exposure, view)
        draw_objects(
            charge,
            config,
            seeing=objects.psf_fwhm,
            pixel_scale=view.pixel_scale,
            x=objects.x,
            y=objects.y,
            flux=objects.flux,
            fwhm=objects.fwhm,
            e1=objects.e1,
            e2=objects.e2,
        )
        objects = _on_detector(objects, ccd.shape)

    def stream(purpose: Stream) -> np.random.Generator:
        return random_stream(config.seed, purpose, exposure.exposure_id, detector.id)

    photons, readout = (stream(p) if config.noise else None for p in (Stream.PHOTONS, Stream.READOUT))
    collect_charge(charge, ccd=ccd, illumination=background, dark_time=exposure.dark_time, rng=photons)
    n_cosmic_rays = 0
    if config.cosmic_rays:
        expected = config.cosmic_ray_rate * exposure.dark_time * charge.size / (4096 * 4004)
        n_cosmic_rays = add_cosmic_rays(charge, expected=expected, rng=stream(Stream.COSMIC_RAYS))
    n_full = bleed(charge, ccd=ccd)
    if ccd.dead:
        charge[ccd.is_dead] = 0.0
    counts = read_out(charge, ccd=ccd, structure=config.overscan_structure, rng=readout)
    n_stars = 0 if objects is None else int(objects.catalog.is_star.sum())
    truth = DetectorTruth(
        **_light_truth(config, detector, exposure, view),
        **_sky_truth(config, ccd, exposure, background),
        vignetting=float(view.illumination[NODES // 2, NODES // 2]),
        pixel_scale_arcsec=view.pixel_scale,
        n_stars=n_stars,
        n_galaxies=0 if objects is None else len(objects.catalog) - n_stars,
        n_cosmic_rays=n_cosmic_rays,
        n_full_well_pixels=n_full,
    )
    return counts, truth, objects


def _light_truth(
    config: SimulationConfig, detector: Detector, exposure: SimulatedExposure, view: DetectorView
) -> dict[str, float]:
    """Return what is true of PSF, zero point and pointing."""
    if not exposure.sees_sky:
        return dict.fromkeys(_LIGHT_TRUTH, np.nan)
    field = PsfField.draw(config, exposure.exposure_id)
    fwhm, e1, e2 = psf_on_detector(field, view, *(np.asarray(angle) for angle in view.field))
    ny, nx = detector.bbox.shape
    star = draw_star(config, detector, exposure, view, (nx - 1) / 2.0, (ny - 1) / 2.0, size=161)
    moments = adaptive_moments(star)
    zero_point = total_zero_point(exposure)
    share = aperture_fraction(star, _APERTURE) * view.illumination[NODES // 2, NODES // 2]
    values = (
        *(float(value) for value in (fwhm, e1, e2)),
        *(moments.sigma, moments.e1, moments.e2),
        *(zero_point, zero_point + 2.5 * float(np.log10(share))),
        *(float(exposure.boresight.ra.deg), float(exposure.boresight.dec.deg)),
        float(exposure.rotation.deg),
    )
    return dict(zip(_LIGHT_TRUTH, values, strict=True))


def _sky_truth(
    config: SimulationConfig, ccd: Ccd, exposure: SimulatedExposure, background: np.ndarray
) -> dict[str, float]:
    """Return level and noise of the sky where there is light."""
    nx = ccd.shape[1]
    nodes = shadow(config, np.linspace(0, nx - 1, NODES), nx) >= _LIT
    lit = background[::8, ::8] if config.shadow is None else background[:, nodes]
    level = float(np.median(lit)) if lit.size else np.nan
    variances = []
    for amplifier, noise in zip(ccd.detector.amplifiers, ccd.read_noise, strict=True):
        box = amplifier.bbox.slice_within(ccd.detector.bbox)
        sample = np.s_[box.y.start : box.y.stop : 16, box.x.start : box.x.stop : 16]
        flat, dark = ccd.flat[sample], ccd.dark[sample]
        seen = (shadow(config, np.arange(box.x.start, box.x.stop, 16), nx) >= _LIT) & (flat > 0.0)
        if amplifier.name not in ccd.dead and seen.any():
            charge = flat * level + dark * exposure.dark_time + noise**2
            variances.append((charge / np.where(seen, flat, 1.0) ** 2)[seen])
    median = np.median(np.concatenate(variances)) if variances else np.nan
    return {"sky_electron": level, "noise_electron": float(np.sqrt(median))}


def _on_detector(objects: ObservedObjects, shape: tuple[int, int]) -> ObservedObjects:
    """Drop objects whose centre is outside the detector."""
    ny, nx = shape
    inside = (objects.x >= -0.5) & (objects.x < nx - 0.5) & (objects.y >= -0.5) & (objects.y < ny - 0.5)
    arrays = {
        f.name: getattr(objects, f.name)[inside] for f in dataclasses.fields(objects) if f.name != "catalog"
    }
    return ObservedObjects(catalog=objects.catalog.select(inside), **arrays)
