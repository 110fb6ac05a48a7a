# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
from __future__ import annotations

import dataclasses

import isr_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsst.ra.pipe.algorithms.isr import OverscanSettings, fit_overscan, saturated_overscan


def noisy(seed: int, n_lines: int = 120, n_pixels: int = 54) -> np.ndarray:
    """Integer counts with a drifting level, and cosmic rays."""
    rng = np.random.default_rng(seed)
    pixels = 23_000 + 8 * np.exp(-np.arange(n_lines) / 30)[:, None] + rng.normal(0, 5, (n_lines, n_pixels))
    pixels[rng.integers(0, n_lines, 9), rng.integers(0, n_pixels, 9)] += 300
    return np.rint(pixels).astype(np.float32)


@pytest.mark.parametrize(("n_pixels", "leading", "trailing"), [(54, 3, 3), (64, 3, 3), (9, 0, 1), (3, 0, 0)])
def test_levels_are_medians_without_outliers(n_pixels: int, leading: int, trailing: int) -> None:
    """Each line has the median of its pixels, less those that stick out."""
    pixels = noisy(n_pixels, n_pixels=n_pixels)
    fit = fit_overscan(pixels, settings=OverscanSettings(leading=leading, trailing=trailing))
    expected = isr_twins.overscan_levels(pixels[:, leading : n_pixels - trailing])
    np.testing.assert_array_equal(fit.levels, expected.astype(np.float32))
    residuals = pixels - fit.levels[:, None]
    found = (fit.residual_mean, fit.residual_median, fit.residual_stdev)
    mean, middle, _, stdev = isr_twins.clipped_statistics(residuals)
    np.testing.assert_allclose(found, (mean, middle, stdev), rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(st.floats(-1e5, 1e5, width=32), st.integers(1, 40), st.integers(1, 60))
def test_a_constant_overscan_has_its_value(level: float, n_lines: int, n_pixels: int) -> None:
    """Nothing is rejected from equal pixels, whatever the shape."""
    pixels = np.full((n_lines, n_pixels), level, np.float32)
    fit = fit_overscan(pixels, settings=OverscanSettings(leading=0, trailing=0))
    np.testing.assert_array_equal(fit.levels, np.float32(level))
    assert fit.residual_median == 0.0


@settings(deadline=None)
@given(st.floats(0.25, 4.0, width=32))
def test_levels_scale_with_the_unit(factor: float) -> None:
    """In another unit, the levels and their scatter are in that unit."""
    settings = OverscanSettings()
    fit = fit_overscan(noisy(5), settings=settings)
    scaled = fit_overscan(
        noisy(5) * np.float32(factor),
        settings=dataclasses.replace(settings, max_deviation=settings.max_deviation * factor),
    )
    np.testing.assert_allclose(scaled.levels, factor * fit.levels, rtol=1e-6)
    np.testing.assert_allclose(scaled.residual_stdev, factor * fit.residual_stdev, rtol=1e-3)


@pytest.mark.parametrize("method", ["MEAN_PER_ROW", "MEDIAN", "MEAN", "MEANCLIP"])
def test_other_methods_find_the_level(method: str) -> None:
    """All methods agree on a flat overscan."""
    pixels = np.random.default_rng(0).normal(500.0, 2.0, (400, 54)).astype(np.float32)
    fit = fit_overscan(pixels, settings=OverscanSettings(method=method))
    np.testing.assert_allclose(fit.levels, 500.0, atol=2.0)
    assert (np.ptp(fit.levels) == 0.0) == (method != "MEAN_PER_ROW")


def test_a_column_of_deferred_charge_is_rejected() -> None:
    """A bright line and those beside it take the level of their neighbours."""
    rng = np.random.default_rng(2)
    pixels = rng.normal(0.0, 3.0, (60, 40)).astype(np.float32)
    pixels[30] += 50.0
    settings = OverscanSettings(
        max_deviation=100.0,
        absolute_deviation=False,
        grow_lines=2,
        smoothing_kernel=5,
        smoothing_threshold=5.0,
    )
    levels = fit_overscan(pixels, settings=settings).levels
    expected = isr_twins.overscan_levels(pixels[:, 3:-3])
    beside = np.median(np.concatenate([expected[23:28], expected[33:38]]))
    np.testing.assert_allclose(levels[28:33], beside, rtol=1e-6)
    np.testing.assert_allclose(levels[:28], expected[:28], rtol=1e-6)


def test_masked_pixels_do_not_count() -> None:
    """Masked pixels change no level, and a masked line takes its neighbours'."""
    pixels = noisy(3)
    masked = np.zeros(pixels.shape, bool)
    masked[50, :] = masked[10, 5] = True
    spoilt = pixels.copy()
    spoilt[masked] += 40.0
    fit = fit_overscan(spoilt, settings=OverscanSettings(), masked=masked)
    expected = fit_overscan(pixels, settings=OverscanSettings()).levels
    assert abs(fit.levels[10] - expected[10]) < 1.5
    beside = np.median(np.concatenate([expected[45:50], expected[51:56]]))
    assert fit.levels[50] == np.float32(beside)


def test_without_usable_pixels_nothing_is_subtracted() -> None:
    """A fully masked overscan has levels of zero."""
    fit = fit_overscan(noisy(1), settings=OverscanSettings(), masked=np.ones((120, 54), bool))
    assert not fit.levels.any()
    assert np.isnan(fit.residual_stdev)


def test_too_many_skipped_pixels_are_an_error() -> None:
    """An overscan without pixels is not measured in silence."""
    with pytest.raises(ValueError, match="6 pixels has none left without 3 leading and 3 trailing"):
        fit_overscan(np.zeros((5, 6), np.float32), settings=OverscanSettings())


@settings(deadline=None)
@given(st.integers(0, 6))
def test_spilled_saturation_grows_as_a_diamond(grow: int) -> None:
    """Growth is by the sum of rows and columns, and never shrinks."""
    pixels = np.zeros((21, 21), np.float32)
    pixels[10, 10] = 100.0
    y, x = np.indices(pixels.shape) - 10
    expected = np.abs(y) + np.abs(x) <= grow
    np.testing.assert_array_equal(saturated_overscan(pixels, threshold=100.0, grow=grow), expected)
