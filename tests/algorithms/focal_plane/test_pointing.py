# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""The boresight's offset is recovered from whatever detectors there are."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import CartesianRepresentation, SkyCoord
from astropy.coordinates.matrix_utilities import rotation_matrix
from lsst.ra.pipe.algorithms.focal_plane import PointingFit, fit_pointing


def observe(
    boresight: SkyCoord, *, shift: tuple[float, float], rotation: float, part: slice = slice(None)
) -> dict[str, np.ndarray]:
    """Offsets that 49 detectors find if the field is turned (degrees) and then shifted (arcsec)."""
    axis = boresight.cartesian.xyz.value
    true = boresight.spherical_offsets_by(shift[0] * u.arcsec, shift[1] * u.arcsec)
    across = np.cross(axis, true.cartesian.xyz.value)
    # rotation_matrix turns the frame, not what is in it, so angles have the other sign; position
    # angles grow clockwise about the line of sight outward.
    turn = rotation_matrix(rotation * u.deg, axis)
    move = rotation_matrix(-boresight.separation(true), across)

    def observed(header: SkyCoord) -> SkyCoord:
        return SkyCoord(CartesianRepresentation(move @ turn @ header.cartesian.xyz.value), frame="icrs")

    y, x = np.mgrid[-3:4, -3:4].reshape(2, -1)[:, part] * 0.5
    in_field = SkyCoord(x * u.deg, y * u.deg, frame=boresight.skyoffset_frame()).icrs
    header = SkyCoord(in_field.ra, in_field.dec)
    up = header.spherical_offsets_by(0.0 * u.deg, 0.01 * u.deg)
    fitted, up_fitted = observed(header), observed(up)
    d_ra, d_dec = header.spherical_offsets_to(fitted)
    return {
        "ra": fitted.ra.deg,
        "dec": fitted.dec.deg,
        "offset_ra": d_ra.arcsec,
        "offset_dec": d_dec.arcsec,
        "rotation": fitted.position_angle(up_fitted).wrap_at(180.0 * u.deg).deg,
    }


def fit(boresight: SkyCoord, values: dict[str, np.ndarray]) -> PointingFit:
    """Fit what was observed."""
    return fit_pointing(**values, boresight=(float(boresight.ra.deg), float(boresight.dec.deg)))


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(slice(None), id="all"),
        pytest.param(slice(40, None), id="a corner"),
        pytest.param(slice(6, 7), id="one at the edge"),
    ],
)
@pytest.mark.parametrize("dec", [0.0, -30.0, -84.0])
def test_offset_and_rotation_of_the_boresight_are_recovered(dec: float, part: slice) -> None:
    """Also near the pole and from one detector, whose own offset is 50 arcsec larger."""
    boresight = SkyCoord(359.9 * u.deg, dec * u.deg)
    values = observe(boresight, shift=(12.0, -7.0), rotation=0.3, part=part)
    result = fit(boresight, values)
    assert result.offset_ra == pytest.approx(12.0, abs=0.1)
    assert result.offset_dec == pytest.approx(-7.0, abs=0.1)
    # The field is turned by 0.3 degrees, and north where it is now by some more near the pole.
    north = math.degrees(math.tan(math.radians(dec)) * math.radians(12.0 / 3600.0))
    assert result.rotation == pytest.approx(0.3 + north, abs=0.001)
    assert result.n_used == values["ra"].size


def test_detectors_with_a_wrong_solution_are_dropped() -> None:
    """One in five may be anywhere."""
    boresight = SkyCoord(30.0 * u.deg, -30.0 * u.deg)
    rng = np.random.default_rng(3)
    values = observe(boresight, shift=(12.0, -7.0), rotation=0.1)
    wrong = rng.permutation(49)[:10]
    for name in ("offset_ra", "offset_dec"):
        values[name] = values[name] + rng.normal(0.0, 0.05, 49)
        values[name][wrong] += rng.uniform(-60.0, 60.0, 10)
    result = fit(boresight, values)
    assert result.offset_ra == pytest.approx(12.0, abs=0.05)
    assert result.offset_dec == pytest.approx(-7.0, abs=0.05)
    assert result.rotation == pytest.approx(0.1, abs=0.004)
    assert result.scatter == pytest.approx(0.05, rel=0.4)
    assert 37 <= result.n_used <= 40


def test_detectors_without_a_solution_do_not_count() -> None:
    """NaN offsets are left out; a rotation may be missing."""
    boresight = SkyCoord(30.0 * u.deg, -30.0 * u.deg)
    values = observe(boresight, shift=(3.0, 4.0), rotation=-0.2)
    values["offset_ra"][:30] = np.nan
    values["rotation"][:] = np.nan
    result = fit(boresight, values)
    assert (result.offset_ra, result.offset_dec) == pytest.approx((3.0, 4.0), abs=0.05)
    assert result.rotation == pytest.approx(-0.2, abs=0.002)
    assert result.n_used == 19


@pytest.mark.parametrize("unknown", ["offset_ra", "rotation"])
def test_what_cannot_be_known_is_nan(unknown: str) -> None:
    """One detector without a rotation says nothing of the boresight."""
    boresight = SkyCoord(30.0 * u.deg, -30.0 * u.deg)
    values = observe(boresight, shift=(3.0, 4.0), rotation=-0.2, part=slice(0, 1))
    values[unknown][:] = np.nan
    result = fit(boresight, values)
    assert math.isnan(result.offset_ra)
    assert math.isnan(result.rotation)
    assert result.n_used == 0
