# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Tangent planes, and sky projections with a correction."""

from __future__ import annotations

import pathlib

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from lsst.images import Image
from lsst.ra.pipe.algorithms.calibration import (
    DetectorPlane,
    PlaneCorrection,
    TangentPlane,
    correct_projection,
)
from star_fields import BOX, CENTRAL, OUTER, header_projection

AFFINE = np.array([[12.0, 499.9, -2.0], [-40.0, 2.1, 500.2]])
QUADRATIC = np.column_stack([AFFINE, [[0.05, -0.02, 0.03], [0.01, 0.04, -0.06]]])


@pytest.mark.parametrize(("ra", "dec"), [(0.001, 10.0), (359.999, -89.9), (150.0, 60.0), (10.0, 90.0)])
def test_tangent_plane_is_gnomonic(ra: float, dec: float) -> None:
    """Against offsets on the sphere: the tangent of the separation, at the position angle."""
    centre = SkyCoord(ra, dec, unit="deg")
    angle = np.radians(np.arange(0.0, 360.0, 30.0))
    distance = np.linspace(0.1, 900.0, angle.size)
    points = centre.directional_offset_by(angle * u.rad, distance * u.arcsec)
    radius = np.tan(np.radians(distance / 3600.0)) * 3600.0 * 180.0 / np.pi
    plane = TangentPlane(ra, dec)
    xi, eta = plane.from_sky(points.ra.deg, points.dec.deg)
    # The sphere's declinations are known to 2e-5 arcsec at the pole.
    np.testing.assert_allclose(xi, radius * np.sin(angle), atol=1e-4)
    np.testing.assert_allclose(eta, radius * np.cos(angle), atol=1e-4)
    back_ra, back_dec = plane.to_sky(xi, eta)
    assert SkyCoord(back_ra, back_dec, unit="deg").separation(points).arcsec.max() < 1e-6
    assert ((back_ra >= 0.0) & (back_ra < 360.0)).all()


@pytest.mark.parametrize("dec", [-80.0, -31.0, 0.0, 45.0, 89.99])
def test_north_turns_in_the_plane_as_meridians_do(dec: float) -> None:
    """Against a step to the north on the sphere."""
    plane = TangentPlane(30.0, dec)
    ra, dec_there = plane.to_sky(np.full(2, 80.0), np.full(2, -40.0))
    xi, eta = plane.from_sky(ra, dec_there + np.array([0.0, 1e-4]))
    expected = np.degrees(np.arctan2(xi[1] - xi[0], eta[1] - eta[0]))
    assert plane.convergence(80.0, -40.0) == pytest.approx(expected, abs=1e-5)


def test_the_other_side_of_the_sky_is_not_in_the_plane() -> None:
    """Points 90 degrees and more away are NaN."""
    xi, eta = TangentPlane(10.0, 0.0).from_sky(np.array([100.1, 190.0, 11.0]), np.zeros(3))
    assert np.isnan([xi[:2], eta[:2]]).all()
    assert xi[2] == pytest.approx(3600.0, rel=1e-3)


def test_rotation_of_a_correction_is_of_position_angles() -> None:
    """What lay north and now lies towards the east was turned by a positive angle."""
    angle = np.radians(0.3)
    # Position angle p: xi is sin(p), eta is cos(p).
    turned = 500.0 * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    correction = PlaneCorrection(np.column_stack([[1.0, 2.0], 1.001 * turned]))
    xi, _ = correction.apply(np.zeros(1), np.full(1, 100.0))
    assert xi[0] > 1.0
    assert correction.rotation == pytest.approx(0.3)
    assert correction.magnification == pytest.approx(1.001)
    assert correction.shift == (1.0, 2.0)


@pytest.mark.parametrize("coefficients", [AFFINE, QUADRATIC], ids=["affine", "quadratic"])
@pytest.mark.parametrize("detector", [CENTRAL, OUTER])
def test_corrected_projection_moves_positions_and_inverts(detector: int, coefficients: np.ndarray) -> None:
    """Pixels go where the correction puts them, and back, within a hundred thousandth of a pixel."""
    initial, correction = header_projection(detector, 30.0, 0.5), PlaneCorrection(coefficients)
    plane = DetectorPlane.build(initial, BOX)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-0.5, 4095.5, 200), rng.uniform(-0.5, 4003.5, 200)
    projection = correct_projection(initial, plane=plane.plane, correction=correction, bbox=BOX)
    expected = plane.plane.to_sky(*correction.apply(*plane.from_pixels(initial, x, y)))
    found = projection.pixel_to_sky(x=x, y=y)
    assert found.separation(SkyCoord(*expected, unit="deg")).mas.max() < 1e-3
    pixels = projection.sky_to_pixel(found)
    np.testing.assert_allclose(pixels.x, x, atol=1e-5)
    np.testing.assert_allclose(pixels.y, y, atol=1e-5)
    assert projection.pixel_frame == initial.pixel_frame


def test_fits_approximation_is_right_at_the_centre() -> None:
    """And off in the corners by the camera's distortion only."""
    initial = header_projection(OUTER, 30.0, 0.5)
    plane = DetectorPlane.build(initial, BOX)
    projection = correct_projection(initial, plane=plane.plane, correction=PlaneCorrection(AFFINE), bbox=BOX)
    approximation = projection.fits_approximation
    assert approximation is not None
    wcs = approximation.as_fits_wcs(BOX)
    assert wcs is not None
    for x, y, limit in ((2047.5, 2001.5, 1e-3), (2100.0, 1950.0, 1.0), (0.0, 0.0, 500.0)):
        ra, dec = wcs.all_pix2world(x, y, 0)
        assert projection.pixel_to_sky(x=x, y=y).separation(SkyCoord(ra, dec, unit="deg")).mas < limit


@pytest.mark.parametrize("coefficients", [AFFINE, QUADRATIC], ids=["affine", "quadratic"])
@pytest.mark.parametrize("extension", ["fits", "json"])
def test_corrected_projection_survives_a_file(
    tmp_path: pathlib.Path, coefficients: np.ndarray, extension: str
) -> None:
    """An image is written with it and read again."""
    initial = header_projection(OUTER, 30.0, 0.5)
    plane = DetectorPlane.build(initial, BOX)
    correction = PlaneCorrection(coefficients)
    projection = correct_projection(initial, plane=plane.plane, correction=correction, bbox=BOX)
    path = tmp_path / f"image.{extension}"
    image = Image(np.zeros((8, 8), dtype=np.float32), yx0=(0, 0), sky_projection=projection)
    image.write(str(path))
    read = Image.read(str(path)).sky_projection
    assert read is not None
    x, y = np.array([0.0, 4095.0, 2000.0]), np.array([4003.0, 0.0, 2000.0])
    before, after = projection.pixel_to_sky(x=x, y=y), read.pixel_to_sky(x=x, y=y)
    assert after.separation(before).mas.max() < 1e-3
    back = read.sky_to_pixel(after)
    np.testing.assert_allclose(back.x, x, atol=1e-5)
    assert read.fits_approximation is not None


def test_pixels_without_position_stay_unknown() -> None:
    """NaN in, NaN out, and the rest is projected."""
    projection = header_projection(CENTRAL, 0.0, 0.0)
    plane = DetectorPlane.build(projection, BOX)
    xi, eta = plane.from_pixels(projection, np.array([np.nan, 2047.5]), np.array([1.0, 2001.5]))
    assert np.isnan([xi[0], eta[0]]).all()
    assert [xi[1], eta[1]] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert plane.pixel_scale == pytest.approx(0.2, abs=0.002)
    assert plane.half_size == (2048.0, 2002.0)
    nothing = plane.from_pixels(projection, np.empty(0), np.empty(0))
    assert nothing[0].size == nothing[1].size == 0
