# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""One detector in one exposure: what is in its field, and its pixels."""

from __future__ import annotations

__all__ = (
    "DetectorTruth",
    "DetectorView",
    "ObservedObjects",
    "draw_star",
    "expected_sky",
    "render",
    "view_detector",
)

import dataclasses

import astropy.units as u
import numpy as np
import scipy.interpolate
from astropy.coordinates import SkyCoord

from lsst.images.cameras import Detector

from ..camera import Camera
from ._ccd import Ccd
from ._config import BAND_PHOTOMETRY, SimulationConfig
from ._electronics import add_cosmic_rays, bleed, collect_charge, read_out
from ._exposures import ImageType, SimulatedExposure
from ._moments import adaptive_moments, aperture_fraction
from ._optics import shadow, vignetting
from ._psf import PsfField, add_objects, donut_profile, kolmogorov_profile, moffat_profile
from ._random import Stream, random_stream
from ._sky import SkyCatalog

_NODES = 33
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
class DetectorView:
    """Where a detector looks, and how sharp it sees."""

    centre: SkyCoord
    """ICRS position of the detector's centre."""
    radius: float
    """Angle from the centre to the farthest corner, degrees."""
    pixel_scale: float
    """Square root of the area of a pixel at the centre, arcsec."""
    to_sky: np.ndarray
    """Derivatives of (east, north) by (x, y) at the centre, ``(2, 2)``."""
    to_focal_plane: np.ndarray
    """Derivatives of focal plane by pixel position, ``(2, 2)``."""
    illumination: np.ndarray
    """Vignetting on a grid over the detector, shape ``(33, 33)``."""
    field: tuple[float, float]
    """Field angle of the centre (x, y), degrees."""


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


def view_detector(
    camera: Camera, detector: Detector, exposure: SimulatedExposure, *, vignetted: bool
) -> DetectorView:
    """Work out where a detector looks.

    Parameters
    ----------
    camera
        Gives the projection on the sky.
    detector
        The detector.
    exposure
        Gives the pointing.
    vignetted
        Whether there is vignetting.

    Returns
    -------
    view
        Position, scale, derivatives and vignetting.
    """
    ny, nx = detector.bbox.shape
    cx, cy = (nx - 1) / 2.0, (ny - 1) / 2.0
    projection = camera.sky_projection(detector.id, boresight=exposure.boresight, rotation=exposure.rotation)
    step = 50.0
    sky = projection.pixel_to_sky(
        x=np.array([cx, cx + step, cx, -0.5, nx - 0.5, -0.5, nx - 0.5]),
        y=np.array([cy, cy, cy + step, -0.5, -0.5, ny - 0.5, ny - 0.5]),
    )
    east, north = sky[0].spherical_offsets_to(sky[1:3])
    to_sky = np.array([east.arcsec, north.arcsec]) / step
    focal = detector.to_focal_plane.apply_forward(x=np.array([cx, cx + 1, cx]), y=np.array([cy, cy, cy + 1]))
    gx, gy = np.meshgrid(np.linspace(0, nx - 1, _NODES), np.linspace(0, ny - 1, _NODES))
    angle_x, angle_y = _field_angles(detector, np.append(gx, cx), np.append(gy, cy))
    transmission = vignetting(np.hypot(angle_x, angle_y)[:-1]) if vignetted else np.ones(gx.size)
    return DetectorView(
        centre=sky[0],
        radius=float(sky[0].separation(sky[3:]).deg.max()),
        pixel_scale=float(np.sqrt(abs(np.linalg.det(to_sky)))),
        to_sky=to_sky,
        to_focal_plane=np.array([focal.x[1:] - focal.x[0], focal.y[1:] - focal.y[0]]),
        illumination=transmission.reshape(gx.shape),
        field=(float(angle_x[-1]), float(angle_y[-1])),
    )


def _to_pixel_axes(e1: np.ndarray, e2: np.ndarray, derivatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn ellipticities along the axes of a frame into those along the pixel
    axes; `derivatives` are of the frame's coordinates by pixel position.
    """
    (a, b), (c, d) = np.linalg.inv(derivatives)
    xx, yy, xy = 1.0 + np.asarray(e1), 1.0 - np.asarray(e1), np.asarray(e2)
    pxx = a * a * xx + 2.0 * a * b * xy + b * b * yy
    pyy = c * c * xx + 2.0 * c * d * xy + d * d * yy
    pxy = a * c * xx + (a * d + b * c) * xy + b * d * yy
    return (pxx - pyy) / (pxx + pyy), 2.0 * pxy / (pxx + pyy)


def _psf_on_detector(
    field: PsfField, view: DetectorView, field_x: np.ndarray, field_y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    fwhm, e1, e2 = field.at(field_x, field_y)
    return fwhm, *_to_pixel_axes(e1, e2, view.to_focal_plane)


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

    field_x, field_y = _field_angles(detector, x, y)
    field = PsfField.draw(config, exposure.exposure_id)
    psf_fwhm, psf_e1, psf_e2 = _psf_on_detector(field, view, field_x, field_y)
    galaxy_e1, galaxy_e2 = _to_pixel_axes(catalog.e1, catalog.e2, view.to_sky)
    # A galaxy is a PSF-shaped blob whose second moments are the sum of both.
    fwhm = np.hypot(psf_fwhm, catalog.size)
    share = (catalog.size / fwhm) ** 2
    magnitude = catalog.magnitude(exposure.band)
    flux = 10.0 ** (0.4 * (_zero_point(exposure) - magnitude))
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


def _field_angles(detector: Detector, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return field angles (degrees) of pixel positions."""
    if not x.size:
        return np.zeros(0), np.zeros(0)
    angle = detector.to_field_angle.apply_forward(x=x, y=y)
    return np.rad2deg(angle.x), np.rad2deg(angle.y)


def _zero_point(exposure: SimulatedExposure) -> float:
    """Return the AB magnitude that gives one electron in an exposure."""
    photometry = BAND_PHOTOMETRY[exposure.band]
    return photometry.zero_point + 2.5 * float(np.log10(max(exposure.exposure_time, 1e-3)))


def _background(
    config: SimulationConfig, detector: Detector, exposure: SimulatedExposure, view: DetectorView
) -> np.ndarray:
    """Return expected electrons of sky or lamp per pixel, on the grid."""
    match exposure.image_type:
        case ImageType.SCIENCE:
            magnitude = config.sky_magnitude
            if magnitude is None:
                magnitude = BAND_PHOTOMETRY[exposure.band].sky
            per_arcsec2 = 10.0 ** (0.4 * (_zero_point(exposure) - magnitude))
            light = np.asarray(per_arcsec2 * view.pixel_scale**2 * view.illumination)
        case ImageType.FLAT:  # by a projector that fills the beam evenly
            light = np.full(view.illumination.shape, config.flat_level)
        case _:
            return np.zeros(view.illumination.shape)
    if config.shadow_in_flat:
        return light
    nx = detector.bbox.x.size
    return np.asarray(light * shadow(config, np.linspace(0, nx - 1, _NODES), nx))


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
    nodes = np.linspace(0, ny - 1, _NODES), np.linspace(0, nx - 1, _NODES)
    grid = _background(config, detector, exposure, view)
    return np.asarray(scipy.interpolate.RegularGridInterpolator(nodes, grid)((y, x)))


def _add_to_image(
    image: np.ndarray,
    config: SimulationConfig,
    *,
    seeing: np.ndarray | float,
    pixel_scale: float,
    threshold: float = 0.01,
    **objects: np.ndarray,
) -> None:
    """Draw objects (x, y, flux; fwhm in arcsec, e1, e2), in or out of focus,
    trailed or not; `seeing` is the FWHM of the PSF in arcsec.
    """
    profile = moffat_profile(config.moffat_beta)
    if config.psf_profile == "kolmogorov":
        profile = kolmogorov_profile()
    if config.donut_diameter is not None:
        sharp = float(np.median(seeing)) if np.size(seeing) else 1.0
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
    angles = _field_angles(detector, np.array([x]), np.array([y]))
    fwhm, e1, e2 = _psf_on_detector(PsfField.draw(config, exposure.exposure_id), view, *angles)
    stamp = np.zeros((size, size), np.float32)
    middle = np.array([(size - 1) / 2.0])
    _add_to_image(
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
    background = _background(config, detector, exposure, view)
    charge = np.zeros(ccd.shape, np.float32)
    objects = None
    if exposure.sees_sky:
        objects = observe(config, camera, detector, exposure, view)
        _add_to_image(
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
        vignetting=float(view.illumination[_NODES // 2, _NODES // 2]),
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
    fwhm, e1, e2 = _psf_on_detector(field, view, *(np.asarray(angle) for angle in view.field))
    ny, nx = detector.bbox.shape
    star = draw_star(config, detector, exposure, view, (nx - 1) / 2.0, (ny - 1) / 2.0, size=161)
    moments = adaptive_moments(star)
    zero_point = _zero_point(exposure)
    share = aperture_fraction(star, _APERTURE) * view.illumination[_NODES // 2, _NODES // 2]
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
    nodes = shadow(config, np.linspace(0, nx - 1, _NODES), nx) >= _LIT
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
