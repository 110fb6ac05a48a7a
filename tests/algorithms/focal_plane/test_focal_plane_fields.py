# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Statistics and fits over the focal plane recover what was put in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from lsst.ra.pipe.algorithms.focal_plane import (
    find_ellipticity_pattern,
    fit_plane,
    rotate_ellipticity,
    summarize,
)


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Positions of a square of 15 x 15 detectors."""
    y, x = np.mgrid[-7:8, -7:8].reshape(2, -1) * 0.23
    return x, y


def test_values_that_are_not_finite_do_not_count() -> None:
    """NaN and infinities change neither the median nor the extremes."""
    statistics = summarize(np.array([np.nan, 3.0, 1.0, np.inf, 2.0]))
    assert (statistics.count, statistics.median, statistics.minimum, statistics.maximum) == (3, 2.0, 1.0, 3.0)
    assert (statistics.argmin, statistics.argmax) == (2, 1)
    assert statistics.scatter == pytest.approx(1.4826)


def test_nothing_to_summarize_gives_nan() -> None:
    """Without a finite value there is no median and no extreme."""
    statistics = summarize(np.array([np.nan]))
    assert statistics.count == 0
    assert math.isnan(statistics.median)
    assert statistics.argmax == -1


def test_one_value_has_no_scatter() -> None:
    """The scatter of one value is unknown, not zero."""
    assert math.isnan(summarize(np.array([1.0])).scatter)


def test_plane_is_recovered_in_spite_of_outliers() -> None:
    """Three detectors far off do not tilt the plane."""
    x, y = grid()
    values = 0.8 + 0.05 * x - 0.02 * y + np.random.default_rng(1).normal(0.0, 0.003, x.size)
    values[[0, 3, 100]] += [1.0, -0.5, 2.0]
    values[50] = np.nan
    plane = fit_plane(x=x, y=y, values=values)
    assert plane.level == pytest.approx(0.8, abs=0.001)
    assert plane.gradient_x == pytest.approx(0.05, abs=0.001)
    assert plane.gradient_y == pytest.approx(-0.02, abs=0.001)
    assert plane.scatter == pytest.approx(0.003, rel=0.2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_slopes_scale_with_the_units(scale: float) -> None:
    """Neither large nor small coordinates spoil the fit."""
    x, y = grid()
    plane = fit_plane(x=x * scale, y=y * scale, values=5.0 + 2.0 * x - y)
    assert plane.gradient_x * scale == pytest.approx(2.0)
    assert plane.gradient_y * scale == pytest.approx(-1.0)


def test_constant_values_have_no_slope() -> None:
    """Values without any scatter are a plane as well."""
    x, y = grid()
    plane = fit_plane(x=x, y=y, values=np.full(x.size, 7.0))
    assert plane.level == pytest.approx(7.0)
    assert plane.gradient_x == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_points_that_do_not_span_a_plane_give_nan(count: int) -> None:
    """Too few points, or points on a line, have no plane."""
    x = np.arange(float(count))
    plane = fit_plane(x=x, y=2.0 * x, values=x)
    assert math.isnan(plane.level)
    assert math.isnan(plane.gradient_x)


def test_ellipticity_turns_by_twice_the_angle() -> None:
    """Elongation along the pixels' x is along y after a quarter turn, and diagonal after an eighth."""
    e1, e2 = rotate_ellipticity(np.full(2, 0.1), np.zeros(2), angle=np.array([90.0, 45.0]))
    assert e1 == pytest.approx([-0.1, 0.0])
    assert e2 == pytest.approx([0.0, 0.1])


def test_constant_and_radial_ellipticity_are_told_apart() -> None:
    """A common elongation does not look radial, nor the reverse."""
    x, y = grid()
    field = (0.02 - 0.01j) + 0.03 * np.exp(2j * np.arctan2(y, x))
    field[7] = complex(np.nan, np.nan)
    pattern = find_ellipticity_pattern(x=x, y=y, e1=field.real, e2=field.imag)
    assert pattern.e1 == pytest.approx(0.02, abs=0.003)
    assert pattern.e2 == pytest.approx(-0.01, abs=0.003)
    assert pattern.radial == pytest.approx(0.03, abs=0.003)
    assert pattern.cross == pytest.approx(0.0, abs=0.003)


def test_a_single_detector_on_the_axis_has_no_radial_part() -> None:
    """One value is the common part."""
    zero, e1 = np.zeros(1), np.full(1, 0.05)
    pattern = find_ellipticity_pattern(x=zero, y=zero, e1=e1, e2=zero)
    assert pattern.e1 == 0.05
    assert math.isnan(pattern.radial)
