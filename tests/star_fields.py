# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Sources and reference catalogues of a detector, with a known error of the pointing."""

from __future__ import annotations

import dataclasses
import functools

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.coordinates import Angle, SkyCoord
from lsst.images import Box, DetectorFrame, SkyProjection
from lsst.ra.pipe.algorithms.calibration import (
    AstrometricSolution,
    DetectorPlane,
    PlanePositions,
    correct_projection,
    solve_astrometry,
)
from lsst.ra.pipe.camera import load_camera

BOX = Box.factory[0:4004, 0:4096]
CENTRAL, OUTER = 94, 3
BORESIGHT = SkyCoord(150.3, -31.2, unit="deg")
ROTATION = Angle(32.0, unit="deg")
MARGIN = 1500


@functools.cache
def true_projection(detector: int) -> SkyProjection[DetectorFrame]:
    """Where the telescope points."""
    return load_camera("LSSTCam").sky_projection(detector, boresight=BORESIGHT, rotation=ROTATION)


@functools.cache
def header_projection(
    detector: int, shift_arcsec: float, rotation_degree: float
) -> SkyProjection[DetectorFrame]:
    """Where the header says it points: off towards a position angle of 70 degrees, and turned."""
    boresight = BORESIGHT.directional_offset_by(70.0 * u.deg, shift_arcsec * u.arcsec)
    return load_camera("LSSTCam").sky_projection(
        detector, boresight=boresight, rotation=ROTATION + rotation_degree * u.deg
    )


@dataclasses.dataclass
class Field:
    """Measured sources in pixels, and references on the sky."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]
    mag: npt.NDArray[np.float64]
    usable: npt.NDArray[np.bool_]
    ref_ra: npt.NDArray[np.float64]
    ref_dec: npt.NDArray[np.float64]
    ref_mag: npt.NDArray[np.float64]
    ref_error: npt.NDArray[np.float64]
    true_match: npt.NDArray[np.int64]
    """Source of each reference; -1 if it was not measured."""


def make_field(
    seed: int,
    *,
    detector: int = OUTER,
    n_stars: int = 2500,
    n_references: int = 250,
    n_false: int = 0,
    fwhm: float = 4.5,
    brightest: bool = True,
    kept: slice | None = None,
    sky: SkyProjection[DetectorFrame] | None = None,
) -> Field:
    """Draw stars and references that lie on the detector and around it.

    ``n_stars`` and ``n_references`` count those on the detector; ``n_false``
    sources of any brightness (galaxies, cosmic rays) have no reference;
    ``kept`` limits the columns in which sources can be measured.
    """
    rng = np.random.default_rng(seed)
    nx, ny = 4096, 4004
    total = round(n_stars * (nx + 2 * MARGIN) * (ny + 2 * MARGIN) / (nx * ny))
    x, y = rng.uniform(-MARGIN, nx + MARGIN, total), rng.uniform(-MARGIN, ny + MARGIN, total)
    mag = 15.0 + np.log10(1.0 + rng.random(total) * (10 ** (0.25 * 9.0) - 1.0)) / 0.25
    count = round(total * n_references / n_stars)
    listed = np.argsort(mag)[:count] if brightest else rng.permutation(total)[:count]
    ref_error = np.hypot(0.003, 0.005 * 10 ** (0.2 * (mag[listed] - 20.0)))
    true = sky or true_projection(detector)
    position = true.pixel_to_sky(x=x[listed], y=y[listed])
    ref_dec = position.dec.deg + rng.normal(size=count) * ref_error / 3600.0
    cosine = np.cos(np.radians(position.dec.deg))
    ref_ra = position.ra.deg + rng.normal(size=count) * ref_error / 3600.0 / cosine
    on = (x > 10) & (x < nx - 10) & (y > 10) & (y < ny - 10)
    flux = 10 ** (0.4 * (32.1 - mag))
    signal_to_noise = flux / np.sqrt(flux + 1230.0 * 3.8 * fwhm**2)
    on &= signal_to_noise > 7.0
    if kept is not None:
        on &= (x >= kept.start) & (x < kept.stop)
    error = 0.6 * fwhm / np.maximum(signal_to_noise, 1.0)
    measured = np.flatnonzero(on)
    source = np.full(total, -1)
    source[measured] = np.arange(measured.size)
    false_x, false_y = rng.uniform(10, nx - 10, n_false), rng.uniform(10, ny - 10, n_false)
    if kept is not None:
        false_x = kept.start + (kept.stop - kept.start) * false_x / nx
    return Field(
        x=np.r_[x[measured] + rng.normal(size=measured.size) * error[measured], false_x],
        y=np.r_[y[measured] + rng.normal(size=measured.size) * error[measured], false_y],
        error=np.r_[error[measured], np.full(n_false, 0.02)],
        mag=np.r_[mag[measured], rng.uniform(15.0, 22.0, n_false)],
        usable=np.ones(measured.size + n_false, dtype=bool),
        ref_ra=ref_ra,
        ref_dec=ref_dec,
        ref_mag=mag[listed] + 0.05 * rng.normal(size=count),
        ref_error=ref_error,
        true_match=source[listed],
    )


def solve(
    field: Field, projection: SkyProjection[DetectorFrame], **changes: object
) -> tuple[AstrometricSolution, DetectorPlane]:
    """Match a field through the header's projection."""
    detector = DetectorPlane.build(projection, BOX)
    xi, eta = detector.from_pixels(projection, field.x, field.y)
    ref_xi, ref_eta = detector.plane.from_sky(field.ref_ra, field.ref_dec)
    solution = solve_astrometry(
        PlanePositions(xi, eta, field.error * detector.pixel_scale, field.mag),
        PlanePositions(ref_xi, ref_eta, field.ref_error, field.ref_mag),
        usable=field.usable,
        jacobian=detector.jacobian,
        half_size=detector.half_size,
        plane=detector.plane,
        **changes,  # type: ignore[arg-type]
    )
    return solution, detector


def corrected(
    projection: SkyProjection[DetectorFrame], solution: AstrometricSolution, detector: DetectorPlane
) -> SkyProjection[DetectorFrame]:
    """Apply a solution."""
    return correct_projection(projection, plane=detector.plane, correction=solution.correction, bbox=BOX)


def grid_error(found: SkyProjection[DetectorFrame], true: SkyProjection[DetectorFrame]) -> float:
    """Rms distance of two projections over the detector, in mas."""
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 4095, 12), np.linspace(0, 4003, 12)))
    distance = found.pixel_to_sky(x=x, y=y).separation(true.pixel_to_sky(x=x, y=y))
    return float(np.sqrt(np.mean(np.square(distance.mas))))
