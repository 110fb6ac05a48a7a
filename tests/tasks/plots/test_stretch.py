# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.

"""Grey scales."""

from __future__ import annotations

import numpy as np
import pytest
from lsst.ra.pipe.tasks.plots import find_stretch


def noise(sky: float = 820.0, sigma: float = 4.0) -> np.ndarray:
    """An image of the sky."""
    return np.random.default_rng(1).normal(sky, sigma, (200, 300)).astype(np.float32)


def test_stars_and_gaps_do_not_move_the_sky() -> None:
    """Zero is the median and the linear part the noise, whatever is bright or missing."""
    image = noise()
    image[:20] = np.nan
    image[50:52, 50:250] = 60_000.0
    stretch = find_stretch(image)
    assert stretch.sky == pytest.approx(820.0, abs=0.2)
    assert stretch.sigma == pytest.approx(4.0, rel=0.05)
    assert stretch.brightest > 30 * stretch.sigma


def test_brighter_pixels_are_lighter_and_gaps_transparent() -> None:
    """Shades rise with the signal; pixels without data show what is behind."""
    image = noise()
    image[0, :4] = [700.0, 820.0, 900.0, 5000.0]
    image[0, 4] = np.nan
    shades = find_stretch(image).grey(image)
    assert shades.shape == (200, 300, 4)
    assert (np.diff(shades[0, :3, 0].astype(int)) > 0).all()
    assert shades[0, 3, 0] == 255
    assert list(shades[0, 3:5, 3]) == [255, 0]


@pytest.mark.parametrize("value", [0.0, 820.0, np.nan])
def test_an_image_without_structure_has_a_scale(value: float) -> None:
    """A constant image, or none at all, is drawn."""
    image = np.full((20, 30), value, dtype=np.float32)
    stretch = find_stretch(image)
    assert stretch.darkest > 0.0
    assert stretch.brightest > 0.0
    assert stretch.grey(image).shape == (20, 30, 4)


def test_ticks_are_round_and_within_the_scale() -> None:
    """The colour scale has a zero and marks on both sides that can be read."""
    stretch = find_stretch(noise())
    assert stretch.ticks == sorted(stretch.ticks)
    assert 0.0 in stretch.ticks
    assert all(-stretch.darkest < tick < stretch.brightest for tick in stretch.ticks)
    assert 3 <= len(stretch.ticks) <= 10
