# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

from __future__ import annotations

import numpy as np
import pytest
from lsst.ra.pipe.simulation import SimulationConfig, SkyCatalog


def test_overlapping_circles_hold_the_same_objects() -> None:
    """What is in a piece of sky does not depend on who asks."""
    config = SimulationConfig()
    small = SkyCatalog.in_circle(config, ra=10.0, dec=-30.0, radius=0.1)
    large = SkyCatalog.in_circle(config, ra=10.2, dec=-30.1, radius=0.5)
    _, i, j = np.intersect1d(small.id, large.id, return_indices=True)
    assert len(i) == len(small) > 1000
    np.testing.assert_array_equal(small.ra[i], large.ra[j])
    np.testing.assert_array_equal(small.magnitudes[i], large.magnitudes[j])


@pytest.mark.parametrize(("ra", "dec", "radius"), [(0.0, 0.0, 0.5), (359.9, 70.0, 1.0), (12.0, -89.8, 0.8)])
def test_density_is_that_of_the_settings(ra: float, dec: float, radius: float) -> None:
    """Counts are Poisson about density times area, also at RA 0 and poles."""
    config = SimulationConfig(star_density=5000.0, galaxy_density=3000.0)
    catalog = SkyCatalog.in_circle(config, ra=ra, dec=dec, radius=radius)
    area = 2.0 * np.pi * (1.0 - np.cos(np.deg2rad(radius))) * np.rad2deg(1.0) ** 2
    for count, density in ((catalog.is_star.sum(), 5000.0), ((~catalog.is_star).sum(), 3000.0)):
        assert abs(count - density * area) < 5.0 * np.sqrt(density * area)
    assert len(np.unique(catalog.id)) == len(catalog)


def test_star_counts_rise_with_the_slope_of_the_galaxy() -> None:
    """Two magnitudes fainter there are 10**(2 * 0.25) times as many stars."""
    catalog = SkyCatalog.in_circle(SimulationConfig(), ra=40.0, dec=-10.0, radius=1.0)
    r = catalog.magnitude("r")[catalog.is_star]
    ratio = np.count_nonzero(r < 24.0) / np.count_nonzero(r < 22.0)
    assert ratio == pytest.approx(10.0**0.5, rel=0.03)


def test_another_seed_gives_another_sky() -> None:
    """The seed matters."""
    one, two = (
        SkyCatalog.in_circle(SimulationConfig(seed=seed), ra=1.0, dec=2.0, radius=0.1) for seed in (1, 2)
    )
    assert not np.isin(one.ra, two.ra).any()


def test_an_empty_sky_has_no_objects() -> None:
    """Zero densities are allowed."""
    config = SimulationConfig(star_density=0.0, galaxy_density=0.0)
    assert len(SkyCatalog.in_circle(config, ra=1.0, dec=2.0, radius=0.1)) == 0
